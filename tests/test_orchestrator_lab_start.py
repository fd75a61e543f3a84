"""How a deployment comes up where something is in the way, and how it goes down: nothing by halves.

One small network for all tests; each of them starts its own orchestrator, and has to take all of it down again.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import eventually
from orchestra_lab import LIMIT_MS, PLACE, run_snf
from statelessnf.api.access import new_token
from statelessnf.builder import build
from statelessnf.find import find_function
from statelessnf.lab.control import ControlNetwork
from statelessnf.lab.instances import write_deployment
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.orchestra import Orchestra, Size, instance_pids, orchestrated
from statelessnf.lab.topology import Topology
from statelessnf.lab.web import answers, make_files, web_server
from statelessnf.processes import command_of
from statelessnf.store.client import StoreClient
from statelessnf.store.embedded import embedded_store
from statelessnf.store.url import unix_url

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

AWAY = "https://10.200.0.2:1"  # nobody listens there
LEFT = {"keeper.lock", "users.lock", "secret", "store.sock", "store.log", "token", "orchestrator.log", "instances"}
API_PORT = 8470


@dataclass
class Beginning:
    """A deployment file, and what it needs; nothing runs."""

    lab: Lab
    topology: Topology
    control: ControlNetwork
    file: Path

    @property
    def run_directory(self) -> Path:
        return self.lab.folder / "run"

    @property
    def log(self) -> str:
        """What orchestrators have said."""
        return (self.lab.folder / "orchestrator.log").read_text()

    @contextmanager
    def orchestra(self, text: str) -> Iterator[Orchestra]:
        """With this deployment file; it is down when the block ends."""
        self.file.write_text(text)
        with Orchestra(self.control, self.file, self.run_directory) as running:
            yield running
        self.check_nothing_is_left()

    def written(self) -> str:
        """The deployment file: one instance, or two."""
        return orchestrated(self._plain, self.topology, Size(1, 2), spread="flow", limit_ms=LIMIT_MS)

    def __post_init__(self) -> None:
        self._plain = self.file.read_text()

    def snf(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return run_snf(self.control.namespace, *words)

    def instances(self) -> list[int]:
        return [pid for namespace in self.topology.instances for pid in instance_pids(namespace.pids())]

    def store_pids(self) -> list[int]:
        """Of the embedded store's server and its keeper."""
        socket_path = str(self.run_directory / "store.sock")
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in pids if any(socket_path in word for word in command_of(pid))]

    def gets_through(self) -> bool:
        return answers(self.topology.clients, self.topology.server_address, 0.2)

    def check_nothing_is_left(self) -> None:
        assert not self.instances()
        assert not self.rules()
        assert {entry.name for entry in self.run_directory.iterdir()} <= LEFT
        assert all(entry.suffix == ".log" for entry in (self.run_directory / "instances").iterdir())
        assert eventually(lambda: not (self.run_directory / "store.sock").exists())

    def rules(self) -> str:
        """Of the switch."""
        with self.topology.switch.entered():
            return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def beginning() -> Iterator[Beginning]:
    build(find_function("firewall"))
    with Lab() as lab, Topology(lab, 2) as topology:
        make_files(lab.folder / "files", 1000, 1)
        with web_server(topology.server, topology.server_address, lab.folder):
            yield Beginning(lab, topology, ControlNetwork(lab, topology), write_deployment(lab.folder, "embedded"))


def test_a_busy_port_of_the_api_starts_nothing_until_it_is_free(beginning: Beginning) -> None:
    text = beginning.written().replace('"127.0.0.1:0"', f'"127.0.0.1:{API_PORT}"')
    beginning.file.write_text(text)
    with beginning.control.namespace.entered():
        other = socket.create_server(("127.0.0.1", API_PORT))
    with other:
        done = beginning.snf("up", beginning.file)
        assert done.returncode != 0
        assert f"127.0.0.1:{API_PORT}: the API cannot listen: Address already in use" in done.stderr
        assert not beginning.instances()
        assert not beginning.rules()
    with beginning.orchestra(text) as running:
        running.settle()
        assert beginning.gets_through()


def test_a_switch_and_a_host_that_are_not_there_are_told_and_waited_for(beginning: Beginning, tmp_path: Path) -> None:
    later = f"{beginning.lab.name}-later"
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(new_token())
    text = beginning.written().replace(f'namespace = "{beginning.topology.switch.name}"', f'namespace = "{later}"')
    head, second, tail = text.partition(PLACE + '"in1"')
    away = f']\n\n[[orchestrator.hosts]]\nname = "away"\naddress = "{AWAY}"\ntoken_file = "{token}"\nslots = [\n'
    with beginning.orchestra(head + away + second + tail) as running:
        running.wait(lambda: [one["health"] for one in running.instances()] == ["live"], "no instance lives")
        status = beginning.snf("status", beginning.file).stdout
        assert f"problem: namespace {later}: cannot be entered" in status
        assert f"problem: host away: {AWAY}" in status
        assert not running.members()
        health = running.ask("GET", "/health")
        assert not health["healthy"]
        assert [problem.split(":")[0] for problem in health["problems"]] == [f"namespace {later}", "host away"]
        path = Path("/run/netns", later)
        path.touch()
        subprocess.run(["mount", "--bind", beginning.topology.switch.path, path], check=True)
        running.settle()
        assert beginning.gets_through()
        running.ask("PUT", "/size", {"size": 2})
        running.wait(lambda: not running.ask("GET", "/deployment")["settled"], "it finds a place where none is")
        assert len(running.members()) == 1
        assert beginning.gets_through()


def test_instances_whose_store_and_orchestrator_have_gone_make_room(beginning: Beginning) -> None:
    with beginning.orchestra(beginning.written()) as running:
        running.settle()
        (lost,) = beginning.instances()
        running.kill()
        for pid in beginning.store_pids():
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not beginning.store_pids())
        assert beginning.instances() == [lost]
        running.start()
        running.settle()
        (fresh,) = beginning.instances()
        assert fresh != lost
        assert [event["kind"] for event in running.events()].count("sweep") == 1
        assert beginning.gets_through()


def test_down_leaves_nothing(beginning: Beginning) -> None:
    text = beginning.written().replace('name = "here"\n', 'name = "here"\ncores = [0]\ncores_per_instance = 1\n')
    with beginning.orchestra(text) as running, embedded_store(beginning.run_directory) as store:
        running.settle()
        full = "host here: 0 of 1 cores are free, and an instance gets 1; lower cores_per_instance, or use fewer slots"
        assert running.ask("GET", "/hosts")["hosts"][0]["problem"] == full
        assert f"problem: {full}" in beginning.snf("status", beginning.file).stdout.splitlines()
        second = beginning.lab.folder / "second.toml"
        second.write_text(text.replace(f'"{beginning.run_directory}"', f'"{beginning.lab.folder}/second"'))
        refused, pids = beginning.snf("up", second), beginning.instances()
        assert refused.returncode != 0
        assert len(refused.stderr.splitlines()) == 1
        assert f"steered here already, by an orchestrator with the store unix://{store.socket_path}" in refused.stderr
        assert len(pids) == 1
        assert beginning.gets_through()
        with StoreClient(unix_url(str(store.socket_path))) as client:
            assert client.call("KEYS", "*:orchestrator:*")
            done = beginning.snf("down", beginning.file)
            assert (done.returncode, done.stdout) == (0, "lab is down\n")
            assert not client.call("KEYS", "*:orchestrator:*")
        assert running.process is not None
        assert running.process.wait(10) == 0
        assert beginning.snf("status", beginning.file).returncode != 0
