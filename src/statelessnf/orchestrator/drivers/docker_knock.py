"""Whether anybody is there at the address of a Docker Engine: asked before the SDK is.

Where nobody is, the SDK leaves sockets and processes to the garbage collector, and its message says little: what ssh
had to say is not in it at all.
"""

from __future__ import annotations

import socket
import subprocess
from urllib.parse import urlsplit

PATIENCE = 5.0  # seconds


def knock(address: str) -> None:
    """`address`: unix://, tcp:// or ssh://. Raises OSError with the reason; an address of another form is no matter."""
    url = urlsplit(address)
    try:
        port = url.port
    except ValueError as error:
        raise OSError(str(error)) from None
    if url.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(address.removeprefix("unix://"))
    elif url.scheme == "tcp" and url.hostname and port:
        socket.create_connection((url.hostname, port), PATIENCE).close()
    elif url.scheme == "ssh" and url.hostname:
        _knock_by_ssh(url.hostname, port, url.username)


def _knock_by_ssh(host: str, port: int | None, user: str | None) -> None:
    """As the SDK will: by the command `docker` there, but without ever asking for a password."""
    options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={PATIENCE:.0f}"]
    options += [*(["-p", str(port)] if port else []), *(["-l", user] if user else [])]
    command = ["ssh", *options, "--", host, "docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * PATIENCE, check=False
        )
    except FileNotFoundError:
        raise OSError("the command ssh is not installed here") from None
    except subprocess.TimeoutExpired:
        raise OSError(f"ssh has not got through within {2 * PATIENCE:g} s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise OSError(lines[-1].strip() if lines else f"ssh ended with exit code {done.returncode}")
