"""`snf run --order` as a process: it beats under its token, reports under its name, and says when it stops."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from statelessnf.orchestrator.beats import Beat, decode
from statelessnf.publishing import Publications
from statelessnf.store.url import unix_url

SNF = [sys.executable, "-m", "statelessnf.cli"]
TOKEN = bytes(range(16))
PATIENCE = 60  # seconds; a busy machine
DEPLOYMENT = """
name = "ordered"
function = "firewall"
store = {{ url = "unix://{store}" }}
instance = {{ ports = {{ inside = "net_ring0", outside = "net_ring1" }}, run_directory = "{folder}/run" }}
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(PATIENCE)
        yield made


def heard(listener: socket.socket) -> Beat:
    beat = decode(listener.recv(256))
    assert beat is not None
    return beat


def write(folder: Path, store: Path, port: int) -> list[str]:
    """The files of a start, and its command."""
    deployment, order = folder / "ordered.toml", folder / "order.json"
    deployment.write_text(DEPLOYMENT.format(store=store, folder=folder))
    beats = {"targets": [f"127.0.0.1:{port}"], "token": TOKEN.hex(), "interval_ms": 20}
    named = {"name": "ordered-1", "revision": 7, "inside": "net_ring2", "outside": "net_ring3", "pipes": 2}
    order.write_text(json.dumps(named | {"beats": beats}))
    order.chmod(0o600)
    return [*SNF, "run", str(deployment), "--order", str(order)]


@pytest.mark.timeout(300)
def test_an_ordered_instance(tmp_path: Path, valkey_server: Path, listener: socket.socket) -> None:
    subprocess.run([*SNF, "build", "firewall"], check=True, stdout=subprocess.DEVNULL)
    command = write(tmp_path, valkey_server, listener.getsockname()[1])
    publications = Publications(unix_url(str(valkey_server)), "ordered")
    with (
        closing(publications),
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process,
    ):
        try:
            beat = heard(listener)
            while not beat.available:
                beat = heard(listener)
            assert (beat.token, beat.pipes, beat.admitting, beat.stopping) == (TOKEN, 2, True, False)
            deadline = time.monotonic() + PATIENCE
            while not (figures := publications.figures()):
                assert time.monotonic() < deadline
                beat = heard(listener)
            process.terminate()
            _, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        assert process.returncode == 0, said
        assert "ordered: instance ordered-1 runs firewall on net_ring2 | net_ring3" in said
        known = figures["ordered-1"]
        expected = {"deployment": "ordered", "instance": "ordered-1", "revision": 7, "store_available": True}
        assert expected.items() <= known.items()
        assert {"received", "drops", "seconds", "latency_us"} <= known.keys()
        assert publications.figures() == publications.instances() == {}
    listener.settimeout(0)
    last: dict[int, Beat] = {}
    try:
        while True:
            last[(beat := heard(listener)).pipe] = beat
    except BlockingIOError:
        assert [last[pipe].stopping for pipe in (0, 1)] == [True, True]
