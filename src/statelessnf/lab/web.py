"""A web server in a namespace: nginx with its own configuration and folder, serving files of random content.

Nothing of a system-wide nginx is read or written. The files' checksums are known, so that a download can be verified.
"""

import hashlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from statelessnf.errors import LabError
from statelessnf.namespaces import Namespace, stop

PORT = 80
DISTINCT_FILES = 8
_START_SECONDS = 10.0
_CHUNK = 1 << 20

_CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_timeout 0;
    sendfile on;
    output_buffers 2 256k;
    client_body_temp_path {folder}/temporary;
    proxy_temp_path {folder}/temporary;
    fastcgi_temp_path {folder}/temporary;
    uwsgi_temp_path {folder}/temporary;
    scgi_temp_path {folder}/temporary;
    server {{ listen {address}:{port} backlog=4096; root {folder}/files; }}
}}
"""


@dataclass(frozen=True)
class WebFile:
    """A file that the server offers: its path in the URL, its size in bytes, and the SHA-256 of its content in hex."""

    path: str
    size: int
    sha256: str


def make_files(folder: Path, size: int, count: int) -> list[WebFile]:
    """Write `count` files of `size` random bytes, at most DISTINCT_FILES. Raises LabError without room."""
    count = min(count, DISTINCT_FILES)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if count * size > free:
        raise LabError(f"no room for {count} files of {size} bytes ({free} free)", str(folder), "choose a smaller size")
    return [_make_file(folder / f"{i}.bin", size) for i in range(count)]


def _make_file(path: Path, size: int) -> WebFile:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, _CHUNK):
            content = os.urandom(min(_CHUNK, size - start))
            digest.update(content)
            file.write(content)
    return WebFile(f"/{path.name}", size, digest.hexdigest())


@contextmanager
def web_server(namespace: Namespace, address: IPv4Address, folder: Path) -> Iterator[None]:
    """nginx on port 80 of `address`, serving `folder`/files; it accepts connections when the block begins.

    Raises LabError where nginx is not installed or does not start.
    """
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise LabError("nginx is missing", do="apt-get install nginx-light")
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, address=address, port=PORT))
    with (folder / "nginx.log").open("wb") as log:
        process = namespace.start([program, "-e", "stderr", "-p", folder, "-c", configuration], stderr=log)
    try:
        _wait_for_answer(namespace, process, address, folder / "nginx.log")
        yield
    finally:
        stop(process)


def _wait_for_answer(namespace: Namespace, process: subprocess.Popen[bytes], address: IPv4Address, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not answers(namespace, address, 0.5):
        if process.poll() is not None or time.monotonic() > deadline:
            words = log.read_text(errors="replace").strip().splitlines()
            raise LabError(f"nginx does not start: {words[-1] if words else 'it says nothing'}")
        time.sleep(0.01)


def answers(namespace: Namespace, address: IPv4Address, patience: float) -> bool:
    """Whether the server answers a request for its headers from that namespace within `patience` seconds."""
    try:
        with namespace.entered():
            connection = socket.create_connection((str(address), PORT), patience)
        with connection:
            connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False
