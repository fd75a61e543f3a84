"""`snf run --order` as a process: it beats under its token, reports under its name, and says when it stops."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conftest import eventually
from statelessnf.orchestrator.beats import Beat, decode
from statelessnf.publishing import Publications
from statelessnf.store.url import unix_url

pytestmark = pytest.mark.beside

SNF = [sys.executable, "-m", "statelessnf.cli"]
TOKEN = bytes(range(16))
PATIENCE = 60  # seconds; a busy machine
DEPLOYMENT = """
name = "ordered"
function = "firewall"
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


def write(folder: Path, port: int) -> list[str]:
    """The files of a start, and its command."""
    deployment, order = folder / "ordered.toml", folder / "order.json"
    deployment.write_text(DEPLOYMENT.format(folder=folder))
    beats = {"targets": [f"127.0.0.1:{port}"], "token": TOKEN.hex(), "interval_ms": 20}
    named = {"name": "ordered-1", "revision": 7, "inside": "net_ring2", "outside": "net_ring3", "pipes": 2}
    order.write_text(json.dumps(named | {"beats": beats}))
    order.chmod(0o600)
    return [*SNF, "run", str(deployment), "--order", str(order)]


def reported(store: Path) -> dict[str, dict[str, Any]]:
    """The figures in the store, as soon as there are some."""
    with closing(Publications(unix_url(str(store)), "ordered")) as publications:
        assert eventually(lambda: bool(publications.figures()), PATIENCE)
        return publications.figures()


@pytest.mark.timeout(300)
def test_an_ordered_instance(tmp_path: Path, listener: socket.socket) -> None:
    subprocess.run([*SNF, "build", "firewall"], check=True, stdout=subprocess.DEVNULL)
    command = write(tmp_path, listener.getsockname()[1])
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            beat = heard(listener)
            while not beat.available:
                beat = heard(listener)
            assert (beat.token, beat.pipes, beat.admitting, beat.stopping) == (TOKEN, 2, True, False)
            figures = reported(tmp_path / "run" / "store.sock")
            process.terminate()
            _, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert "ordered: instance ordered-1 runs firewall on net_ring2 | net_ring3" in said
    expected = {"deployment": "ordered", "instance": "ordered-1", "revision": 7, "store_available": True}
    assert expected.items() <= figures["ordered-1"].items()
    assert {"received", "drops", "seconds", "latency_us"} <= figures["ordered-1"].keys()
    listener.settimeout(0)
    last: dict[int, Beat] = {}
    try:
        while True:
            last[(beat := heard(listener)).pipe] = beat
    except BlockingIOError:
        assert [last[pipe].stopping for pipe in (0, 1)] == [True, True]
