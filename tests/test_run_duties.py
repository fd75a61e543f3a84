"""`snf run` as a process does its duties beside its pipes, and stops at once all the same."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from test_run import PATIENCE, SNF, Running

pytestmark = pytest.mark.beside

HEAD = """
name = "duties"
function = "{function}"
[store]
url = "{store}"
[instance]
run_directory = "{folder}/run"
ports = {{ inside = "net_ring0", outside = "net_ring1" }}
"""
BALANCER = """
[[load_balancer.services]]
name = "web"
address = "198.51.100.1"
ports = 80
policy = "least_connections"
check = { kind = "tcp", interval_ms = 400, timeout_ms = 300 }
servers = [{ address = "192.0.2.1" }]  # of a network that nobody has (RFC 5737)
"""
NAT = """
[nat]
pool = [{ addresses = "203.0.113.1" }]
log = true
ipfix = "udp://127.0.0.1:9"
"""

Start = Callable[[str, str, str], Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Running] = []

    def begin(function: str, section: str, store: str) -> Running:
        subprocess.run([*SNF, "build", function], check=True, stdout=subprocess.DEVNULL)
        folder = tmp_path / str(len(started))
        folder.mkdir()
        file = folder / "duties.toml"
        file.write_text(HEAD.format(function=function, store=store, folder=tmp_path) + section)
        started.append(Running(folder, file))
        started[-1].wait_said(f"runs {function} on net_ring0 | net_ring1")
        return started[-1]

    yield begin
    for running in started:
        running.process.kill()
        running.process.wait()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("store", ["memory", "embedded"])
def test_a_dead_server_is_told_by_every_instance(start: Start, store: str) -> None:
    instances = [start("load_balancer", BALANCER, store) for _ in range(2)]
    for each in instances:
        each.wait_said("server 192.0.2.1 of service web is down: ")
        each.process.send_signal(signal.SIGINT)
        before = time.monotonic()
        assert each.process.wait(PATIENCE) == 0
        assert time.monotonic() - before < PATIENCE / 4
        assert each.err.read_text().count("\n") == 2


@pytest.mark.timeout(300)
@pytest.mark.parametrize("store", ["memory", "embedded"])
def test_a_nat_shows_how_full_its_pool_is(start: Start, store: str) -> None:
    running = start("nat", NAT, store)
    running.wait(lambda: any("pool_use" in line for line in running.figures()))
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(PATIENCE) == 0
    last = running.figures()[-1]
    assert (last["pool_use"], last["ipfix_unsent"]) == (0.0, 0)
