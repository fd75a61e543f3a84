"""`snf run` as a process, on two DPDK rings: it starts, says what it does, takes new rules, and stops cleanly."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.beside

DEPLOYMENT = """
name = "rings"
function = "firewall"
[store]
url = "{store}"
[instance]
run_directory = "{folder}/run"
ports = {{ inside = "net_ring0", outside = "net_ring1" }}
[firewall]
rules = [{{ action = "allow", direction = "outbound", protocol = "{protocol}" }}]
"""
SNF = [sys.executable, "-m", "statelessnf.cli"]
PATIENCE = 60  # seconds; a busy machine


class Running:
    """An instance and what it has printed."""

    def __init__(self, folder: Path, file: Path) -> None:
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen([*SNF, "run", str(file), "--json"], stdout=out, stderr=err)

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self.err.read_text()
            assert time.monotonic() < deadline, self.err.read_text()
            time.sleep(0.02)

    def wait_said(self, text: str) -> None:
        self.wait(lambda: text in self.err.read_text())

    def figures(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines(keepends=True) if line.endswith("\n")]


def write(folder: Path, store: str, protocol: str = "tcp") -> Path:
    path = folder / "rings.toml"
    path.write_text(DEPLOYMENT.format(folder=folder, store=store, protocol=protocol))
    return path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Running]]:
    subprocess.run([*SNF, "build", "firewall"], check=True, stdout=subprocess.DEVNULL)
    started: list[Running] = []

    def begin(store: str) -> Running:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Running(folder, write(tmp_path, store)))
        started[-1].wait_said("runs firewall on net_ring0 | net_ring1")
        return started[-1]

    yield begin
    for running in started:
        running.process.kill()
        running.process.wait()


def reload(folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [*SNF, "reload", str(folder / "rings.toml"), "--json"], check=True, capture_output=True, text=True
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_clean_stop(start: Callable[[str], Running], number: signal.Signals) -> None:
    running = start("memory")
    running.wait(lambda: len(running.figures()) >= 2)
    running.process.send_signal(number)
    assert running.process.wait(PATIENCE) == 0
    assert running.err.read_text().count("\n") == 1
    last = running.figures()[-1]
    assert last["deployment"] == "rings"
    assert {"received", "forwarded", "dropped", "drops", "new_flows", "reads", "commits", "conflicts"} <= set(last)


@pytest.mark.timeout(300)
def test_reload_reaches_all_instances(start: Callable[[str], Running], tmp_path: Path) -> None:
    """Unchanged rules keep their version; changed ones reach both instances; a fault in the file changes nothing."""
    running = [start("embedded"), start("embedded")]
    assert reload(tmp_path) == {"version": 1, "instances": 2, "behind": []}
    write(tmp_path, "embedded", "udp")
    assert reload(tmp_path) == {"version": 2, "instances": 2, "behind": []}
    for each in running:
        each.wait_said("rules version 2 are in force")
    write(tmp_path, "embedded", "nonsense")
    running[0].process.send_signal(signal.SIGHUP)
    running[0].wait_said("not reloaded: ")
    write(tmp_path, "embedded", "icmp")
    running[0].process.send_signal(signal.SIGHUP)
    for each in running:
        each.wait_said("rules version 3 are in force")
        each.wait(lambda each=each: each.figures()[-1]["rules_version"] == 3)  # type: ignore[misc]  # bound at once


@pytest.mark.timeout(300)
def test_published_rules_win_over_the_file(start: Callable[[str], Running], tmp_path: Path) -> None:
    start("embedded")
    write(tmp_path, "embedded", "udp")
    assert reload(tmp_path)["version"] == 2
    late = start("embedded")  # writes its file with other rules again
    late.wait_said("rules version 2 from the store are in force, not the file's")


@pytest.mark.timeout(300)
def test_baseline_reloads_alone(start: Callable[[str], Running], tmp_path: Path) -> None:
    running = start("memory")
    write(tmp_path, "memory", "udp")
    running.process.send_signal(signal.SIGHUP)
    running.wait_said("rules of the file are in force")
