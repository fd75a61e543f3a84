"""A deployment whose instances are containers, as its users and its operator see it: a failure, a successor, the end.

The orchestrator is told of beats through a third interface of each container. Connections of before the first test live
through all of them; the last test takes it down, and starts another one.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import docker
import pytest

from driver_worlds import IMAGE
from lab_clients import say_line
from orchestra_lab import RATE, OrchestraLab
from statelessnf.lab.orchestra import PATIENCE
from statelessnf.namespaces import NAMES
from statelessnf.orchestrator.backoff import FIRST
from statelessnf.orchestrator.drivers.docker_container import DEPLOYMENT_LABEL, INSTANCE_LABEL

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

LATER = "snf-later"  # an image that is not there at first
BLACKOUT = 0.3  # seconds: detection takes 60 ms here, and a machine for tests may be busy


class DockerLab(OrchestraLab):
    """Both of its hosts are the same Engine."""

    def __init__(self, stack: ExitStack, engine: str) -> None:
        self.engine = engine
        self._seen: set[str] = set()
        self.docker: Any = stack.enter_context(closing(docker.APIClient(engine)))
        super().__init__(stack)

    def written(self, plain: str) -> str:
        """Containers in place of processes."""
        text = super().written(plain)
        for name in ("here", "there"):
            host = f'driver = "docker"\naddress = "{self.engine}"\nimage = "{IMAGE}"'
            text = text.replace(f'name = "{name}"\n', f'name = "{name}"\n{host}\n')
        lent = ', interfaces = ["inside", "outside", "control"], switch_inside'
        return text.replace(", switch_inside", lent)

    def containers(self) -> dict[str, str]:
        """Their identifiers, by instance."""
        found = self.docker.containers(all=True, filters={"label": f"{DEPLOYMENT_LABEL}=lab"})
        self._seen |= {one["Id"] for one in found}
        return {one["Labels"][INSTANCE_LABEL]: one["Id"] for one in found}

    def down(self) -> None:
        """By the operator; then nothing of it is there any more."""
        assert self.containers()
        done = self.snf("down", self.file)
        assert (done.returncode, done.stdout) == (0, "lab is down\n")
        assert self.orchestra.process is not None
        assert self.orchestra.process.wait(10) == 0
        self.check_nothing_runs()
        with self.topology.switch.entered():
            assert not subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout

    def check_nothing_runs(self) -> None:
        """No container, no namespace held, all interfaces at home."""
        assert not self.containers()
        assert not [one for one in self._seen if (NAMES / f"statelessnf-{one[:12]}").exists()]
        for home in self.topology.instances:
            with home.entered():
                assert {"inside", "outside", "control"} <= {name for _, name in socket.if_nameindex()}


@pytest.fixture(scope="module")
def running(engine: str) -> Iterator[DockerLab]:
    with ExitStack() as stack:
        yield DockerLab(stack, engine)


@pytest.fixture
def it(running: DockerLab) -> DockerLab:
    running.orchestra.settle()
    assert len(running.orchestra.members()) == 2
    return running


def test_a_killed_container_is_replaced(it: DockerLab) -> None:
    victim, since = it.orchestra.members()[0], it.last_event()
    before = it.containers()
    assert set(before) == set(it.named())
    with it.traffic() as streams:
        it.docker.kill(before[victim])
        it.wait_gone(victim)
        it.orchestra.settle()
    assert 0 <= streams[0].lost < BLACKOUT * RATE
    assert [event["instance"] for event in it.told("end", since)] == [victim]
    assert "killed by SIGKILL" in it.told("end", since)[0]["text"]
    after = it.containers()
    assert set(after) == set(it.named())
    assert len(set(after.values()) - set(before.values())) == 1


def test_a_killed_orchestrator_is_not_missed_and_its_successor_adopts_the_containers(it: DockerLab) -> None:
    before, since = it.containers(), it.last_event()
    with it.traffic() as streams:
        it.orchestra.kill()
        it.check_connections()
        it.orchestra.start()
        it.orchestra.settle()
    assert streams[0].lost == 0
    assert it.containers() == before
    assert {event["instance"] for event in it.told("adopt", since)} == set(before)


def test_down_leaves_nothing_and_so_does_a_start_without_an_image(it: DockerLab) -> None:
    it.down()
    it.file.write_text(it.text.replace(f'"{IMAGE}"', f'"{LATER}"'))
    it.orchestra.start()
    it.orchestra.wait(lambda: len(it.told("start-failed")) >= 4, "no second attempt at each host")
    problem = f"Docker has no image '{LATER}'; make it there (make image), or pull it"
    assert all(event["text"].endswith(problem) for event in it.told("start-failed"))
    assert {host["problem"] for host in it.orchestra.ask("GET", "/hosts")["hosts"]} == {f"{it.engine}: {problem}"}
    failed, again = it.told("start-failed")[0], it.told("start")[2:]
    assert min(event["time"] for event in again) - failed["time"] > 0.9 * FIRST
    it.check_nothing_runs()
    it.docker.tag(IMAGE, LATER)
    try:
        it.orchestra.settle(2 * PATIENCE)
        with it.connect() as fresh:
            assert say_line(fresh) == "?"
        assert not it.orchestra.ask("GET", "/health")["problems"]
        it.down()
    finally:
        it.docker.remove_image(LATER)
