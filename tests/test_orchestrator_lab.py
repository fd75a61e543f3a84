"""One deployment under its orchestrator, as its users and its operator see it: failures, planned changes, successors.

Each test begins and ends with two instances that carry. Connections of before the first test live through all of them.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kernel_facts import THREADS_ARE_WATCHED
from lab_clients import connect, say_line
from lab_peers import serving
from orchestra_lab import RATE, Echo, OrchestraLab, orchestra_lab

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

TAKE_OVER_SECONDS = 15.0  # of a machine that may be busy; the lease is shorter
PIPE_ENDED = "a pipe of it has ended"
BLACKOUT = 0.3  # seconds: detection takes 60 ms here, and a machine for tests may be busy


@pytest.fixture(scope="module")
def running() -> Iterator[OrchestraLab]:
    with orchestra_lab() as lab:
        yield lab


@pytest.fixture
def it(running: OrchestraLab) -> OrchestraLab:
    running.orchestra.settle()
    assert len(running.orchestra.members()) == 2
    return running


def kill(it: OrchestraLab, victim: str) -> None:
    it.signal(victim, signal.SIGKILL)


def stop(it: OrchestraLab, victim: str) -> None:
    it.signal(victim, signal.SIGSTOP)


@contextmanager
def hung(it: OrchestraLab, victim: str) -> Iterator[None]:
    """The instance's pipes hang until it ends."""
    (pid,) = it.pids(victim)
    command = [sys.executable, str(Path(__file__).with_name("thread_stopper.py")), str(pid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stopper:
        assert stopper.stdout is not None
        try:
            assert stopper.stdout.readline() == "they stand\n"
            yield
        finally:
            stopper.kill()


def replaced(it: OrchestraLab, *victims: str) -> None:
    it.wait_gone(*victims)
    it.orchestra.settle()
    assert not set(victims) & set(it.named())


def failed(it: OrchestraLab, fail: Callable[[OrchestraLab, str], None]) -> bool:
    """One that carries fails, and another one takes its place. Whether the end of its pipe was noticed first."""
    victim, before = it.orchestra.members()[0], it.last_event()
    with it.traffic() as streams:
        fail(it, victim)
        replaced(it, victim)
    assert 0 <= streams[0].lost < BLACKOUT * RATE
    return PIPE_ENDED in [event["text"] for event in it.told("suspect", before) if event["instance"] == victim]


def test_a_stopped_instance_is_replaced(it: OrchestraLab) -> None:
    assert not failed(it, stop)


def test_a_killed_instance_is_replaced(it: OrchestraLab) -> None:
    """The end of its pipe is noticed before its silence; on a busy machine at one of three times."""
    assert any(failed(it, kill) for _ in range(3 if THREADS_ARE_WATCHED else 1)) == THREADS_ARE_WATCHED


def test_a_hung_pipe_is_replaced(it: OrchestraLab) -> None:
    victim = it.orchestra.members()[0]
    with it.traffic() as streams, hung(it, victim):
        replaced(it, victim)
    assert 0 < streams[0].lost < BLACKOUT * RATE


def test_an_instance_that_was_only_cut_off_carries_again(it: OrchestraLab) -> None:
    before = set(it.named())
    victim = it.orchestra.members()[0]
    number = it.number(victim)
    with it.traffic() as streams:
        it.control.cut(number)
        try:
            it.wait_gone(victim)
        finally:
            it.control.mend(number)
        it.orchestra.settle()
    assert set(it.named()) == before == set(it.orchestra.members())
    assert streams[0].lost == 0


def test_a_dead_host(it: OrchestraLab) -> None:
    it.orchestra.ask("PUT", "/size", {"size": 3})
    it.orchestra.settle()
    by_host: dict[str, list[str]] = {}
    for one in it.named().values():
        by_host.setdefault(one["host"], []).append(one["name"])
    victims = max(by_host.values(), key=len)
    assert len(victims) == 2
    with it.traffic() as streams:
        for victim in victims:
            kill(it, victim)
        replaced(it, *victims)
    assert 0 < streams[0].lost < BLACKOUT * RATE
    it.orchestra.ask("PUT", "/size", {"size": 2})


def test_draining_and_taking_back(it: OrchestraLab) -> None:
    victim, path = it.orchestra.members()[0], f"/instances/{it.orchestra.members()[0]}/drain"
    with it.traffic() as streams:
        it.orchestra.ask("POST", path, {"drained": True})
        it.wait_gone(victim)
        it.orchestra.settle()
        assert victim in it.named()
        it.orchestra.ask("POST", path, {"drained": False})
        it.orchestra.settle()
    assert streams[0].lost == 0


def test_scaling_by_the_operator(it: OrchestraLab) -> None:
    before = it.orchestra.members()
    with it.traffic() as streams:
        for size in (3, 2):
            it.orchestra.ask("PUT", "/size", {"size": size})
            it.orchestra.settle()
            assert len(it.orchestra.members()) == size == len(it.named())
    assert it.orchestra.members() == before
    assert streams[0].lost == 0


def test_rolling_upgrade(it: OrchestraLab) -> None:
    before, since = set(it.named()), it.last_event()
    with it.traffic() as streams:
        it.orchestra.reload(it.text.replace("[instance]\n", "[instance]\ncache_flows = 400_000\n"))
        it.orchestra.settle()
    assert not before & set(it.named())
    assert {one["revision"] for one in it.named().values()} == {2}
    carriers = [event["text"].count("lab-") for event in it.told("steer", since)]
    assert set(carriers) == {2}  # one by one, and never fewer
    assert streams[0].lost == 0


def test_reloaded_rules_are_in_force_and_nobody_is_replaced(it: OrchestraLab) -> None:
    before = set(it.named())
    with serving(it.topology.server, it.topology.server_address, 81, Echo), it.traffic() as streams:
        with pytest.raises(TimeoutError):
            connect(it.topology.clients, it.topology.server_address, 81, 0.3)
        done = it.reload(it.file.read_text().replace('"80"', '"80-81"'))
        assert done.returncode == 0, done.stderr
        with connect(it.topology.clients, it.topology.server_address, 81) as allowed:
            assert say_line(allowed) == "?"
    assert set(it.named()) == before == set(it.orchestra.members())
    assert streams[0].lost == 0


def test_a_killed_orchestrator_is_not_missed_and_its_successor_disturbs_nothing(it: OrchestraLab) -> None:
    before, members, since = set(it.named()), it.orchestra.members(), it.last_event()
    with it.traffic() as streams:
        it.orchestra.kill()
        it.check_connections()
        it.orchestra.start()
        it.orchestra.settle()
    assert set(it.named()) == before
    assert it.orchestra.members() == members
    assert not it.told("suspect", since)
    assert not it.told("start", since)
    assert all(", ".join(members) in event["text"] for event in it.told("steer", since))
    assert streams[0].lost == 0


def test_ctrl_c_leaves_all_running_and_the_next_one_adopts(it: OrchestraLab) -> None:
    before, pids = set(it.named()), it.all_pids()
    process = it.orchestra.process
    assert process is not None
    with it.traffic() as streams:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert it.all_pids() == pids
        it.orchestra.start()
        it.orchestra.settle()
    assert set(it.named()) == before
    assert streams[0].lost == 0


def test_one_leader_at_a_time(it: OrchestraLab) -> None:
    before, members, first = set(it.named()), it.orchestra.members(), it.orchestra
    assert first.process is not None
    with it.standby() as second, it.traffic() as streams:
        first.process.send_signal(signal.SIGSTOP)
        it.wait_taken_over(TAKE_OVER_SECONDS)
        second.settle()
        assert set(second.members()) == set(members)
        asked = it.stands_by()
        first.process.send_signal(signal.SIGCONT)
        second.wait(lambda: it.stands_by() > asked, "the first one does not stand by")
        assert second.ask("GET", "/deployment")["leader"]
        second.kill()
        it.wait_taken_over(TAKE_OVER_SECONDS)
        first.settle()
    assert set(it.named()) == before
    assert streams[0].lost == 0


def test_a_second_deployment_of_that_name_is_refused(it: OrchestraLab) -> None:
    before, since = set(it.named()), it.last_event()
    done = it.snf("up", it.file)
    assert done.returncode != 0
    assert "an orchestrator runs already for deployment 'lab'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert set(it.named()) == before
    assert it.last_event() == since


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/size", '{"size": "many"}', 422),
        ("PUT", "/size", "{", 400),
        ("PUT", "/size", '{"size": 9}', 409),
        ("POST", "/instances/lab-nobody/drain", '{"drained": true}', 404),
        ("PUT", "/deployment", 'name = "other"', 422),
    ],
)
def test_what_is_refused_changes_nothing(it: OrchestraLab, method: str, path: str, body: str, status: int) -> None:
    since = it.last_event()
    problem = it.asked(method, path, body, token=None)
    assert problem["status"] == status
    assert problem["detail"]
    assert it.asked(method, path, body, token="x" * 32)["status"] == 401
    assert it.last_event() == since
    assert it.orchestra.ask("GET", "/deployment")["settled"]
