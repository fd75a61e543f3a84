"""Nothing of a lab is left behind, however it ends; and no lab touches another one that lives."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from statelessnf.errors import LabError
from statelessnf.lab.lifetime import FOLDERS, Lab
from statelessnf.namespaces import NAMES

pytestmark = pytest.mark.root


def traces(name: str) -> list[str]:
    """What is left of the lab of that name: namespaces, folder."""
    entries = [entry.name for folder in (NAMES, FOLDERS) if folder.is_dir() for entry in folder.iterdir()]
    return [entry for entry in entries if entry == name or entry.startswith(f"{name}-")]


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be reaped by init does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_nothing_is_left_after_an_exception() -> None:
    lab = Lab()
    with suppress(ZeroDivisionError), lab:
        namespace = lab.namespace("one")
        sleeper = namespace.start(["sleep", "1000"])
        assert namespace.pids() == [sleeper.pid]
        assert len(traces(lab.name)) == 2
        raise ZeroDivisionError
    assert traces(lab.name) == []
    assert sleeper.wait(5) == -signal.SIGKILL


OTHER_LAB = """
import time
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.topology import Topology
with Lab() as lab, Topology(lab, 2) as topology:
    sleeper = topology.clients.start(["sleep", "1000"])
    print(lab.name, sleeper.pid, flush=True)
    time.sleep(1000)
"""


@contextmanager
def other_lab() -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """A lab of another process: the process, the lab's name, and a process within it."""
    process = subprocess.Popen([sys.executable, "-c", OTHER_LAB], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, closing(process.stdout):
        try:
            name, sleeper = process.stdout.readline().split()
            yield process, name, int(sleeper)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_after_a_signal(number: signal.Signals) -> None:
    with other_lab() as (process, name, sleeper):
        assert len(traces(name)) == 6
        process.send_signal(number)
        assert process.wait(20) == (-number if number == signal.SIGINT else 128 + number)
        assert traces(name) == []
        assert not alive(sleeper)


def test_the_next_lab_removes_what_a_killed_one_left() -> None:
    with other_lab() as (process, name, sleeper):
        process.kill()
        process.wait()
        assert len(traces(name)) == 6
        with Lab():
            assert traces(name) == []
            assert not alive(sleeper)


def test_a_living_lab_is_left_alone() -> None:
    with Lab() as first, other_lab() as (_, name, sleeper):
        with Lab() as second:
            assert len({first.name, second.name, name}) == 3
        assert len(traces(name)) == 6
        assert alive(sleeper)
        assert traces(first.name) == [first.name]


def test_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="needs root; run it as root"):
        Lab()
