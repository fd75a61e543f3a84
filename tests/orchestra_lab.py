"""A firewall under its orchestrator in the lab: two hosts of two places each, connections and a UDP stream through it.

Packets are sprayed over the instances one by one, so that each of them is in the way of each connection and of the
stream: what is lost anywhere, or answered by somebody who does not know the flow, shows.
"""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import httpx

from lab_clients import connect, say_line
from lab_peers import serving
from statelessnf.api.access import read_access
from statelessnf.bench.instruments.stream import Ends, Stream, StreamFigures
from statelessnf.builder import build
from statelessnf.find import find_function
from statelessnf.lab.control import CONTROL, ControlNetwork
from statelessnf.lab.instances import write_deployment
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.orchestra import Orchestra, Size, instance_pids, orchestrated
from statelessnf.lab.topology import CLIENT, Topology
from statelessnf.namespaces import Namespace

RATE = 2000  # packets a second of the stream
CONNECTIONS = 8
LIMIT_MS = 60  # of detection: a test machine's pauses are nobody's failure
ECHO_PORT, UDP_PORT, BEATS_PORT = 80, 7000, 8471
OTHER = IPv4Interface("10.200.0.3/16")  # where the second orchestrator is
PLACES = {"here": 0, "there": 2}  # number of each host's first namespace
PLACE = '  { inside = "net_af_xdp0,iface=inside", outside = "net_af_xdp1,iface=outside", switch_inside = '
SNF = [sys.executable, "-m", "statelessnf.cli"]
_BETWEEN_HOSTS = ']\n\n[[orchestrator.hosts]]\nname = "there"\nslots = [\n'


class Echo(socketserver.StreamRequestHandler):
    """Gives each line back."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)


class OrchestraLab:
    """See `orchestra_lab`. `connections` stay open all along."""

    def __init__(self, stack: ExitStack, alter: Callable[[str], str] = str) -> None:
        build(find_function("firewall"))
        self.lab = stack.enter_context(Lab())
        self.topology = stack.enter_context(Topology(self.lab, 4))
        self.control = ControlNetwork(self.lab, self.topology)
        self._other = self.control.another("control2", OTHER)
        self.file = write_deployment(self.lab.folder, "embedded", [UDP_PORT])
        self.run_directory = self.lab.folder / "run"
        self.plain = self.file.read_text()
        self.text = alter(self.written(self.plain))
        self.file.write_text(self.text)
        self.orchestra = stack.enter_context(Orchestra(self.control, self.file, self.run_directory))
        stack.enter_context(serving(self.topology.server, self.topology.server_address, ECHO_PORT, Echo))
        ends = Ends(self.topology.clients, str(CLIENT.ip), self.topology.server, str(self.topology.server_address))
        self._stream = Stream(stack, ends, self.lab.folder, RATE)
        self.orchestra.settle()
        self.connections = [stack.enter_context(self.connect()) for _ in range(CONNECTIONS)]

    def written(self, plain: str) -> str:
        """A deployment file with a section [orchestrator]: two to four instances on two hosts."""
        text = orchestrated(plain, self.topology, Size(2, 4), spread="packet", limit_ms=LIMIT_MS)
        text = text.replace(f'"{CONTROL.ip}:0"', f'"{CONTROL.ip}:{BEATS_PORT}", "{OTHER.ip}:{BEATS_PORT}"')
        before, third, after = text.partition(PLACE + '"in2"')
        return before + _BETWEEN_HOSTS + third + after

    def connect(self) -> socket.socket:
        """A new connection through the firewall."""
        return connect(self.topology.clients, self.topology.server_address, ECHO_PORT)

    def check_connections(self) -> None:
        """All of them live: each carries a line there and back."""
        assert [say_line(one) for one in self.connections] == ["?"] * CONNECTIONS
        with self.connect() as fresh:
            assert say_line(fresh) == "?"

    @contextmanager
    def traffic(self) -> Iterator[list[StreamFigures]]:
        """A stream for the length of the block, after which its figures are in the list and all connections live."""
        found: list[StreamFigures] = []
        self._stream.begin()
        try:
            yield found
            self.check_connections()
        finally:
            found.append(self._stream.end())

    def named(self) -> dict[str, dict[str, Any]]:
        """Instances by name, as the API shows them."""
        return {one["name"]: one for one in self.orchestra.instances()}

    def number(self, name: str) -> int:
        """Of the namespace in which the instance runs."""
        one = self.named()[name]
        return PLACES[one["host"]] + int(one["slot"])

    def pids(self, name: str) -> list[int]:
        """Of the instance's processes."""
        return instance_pids(self.topology.instances[self.number(name)].pids())

    def all_pids(self) -> list[int]:
        """Of all instances."""
        return [pid for namespace in self.topology.instances for pid in instance_pids(namespace.pids())]

    def signal(self, name: str, number: signal.Signals) -> None:
        """To the instance, past its orchestrator."""
        for pid in self.pids(name):
            os.kill(pid, number)

    def wait_gone(self, *names: str) -> None:
        """Until none of them gets traffic."""
        self.orchestra.wait(lambda: not set(names) & set(self.orchestra.members()), f"{names} get traffic")

    def told(self, kind: str, after: int = 0) -> list[dict[str, Any]]:
        """Events of that kind behind number `after`."""
        return [event for event in self.orchestra.events() if event["kind"] == kind and event["number"] > after]

    def last_event(self) -> int:
        """The number of the latest event."""
        return int(self.orchestra.events()[-1]["number"])

    def reload(self, text: str) -> subprocess.CompletedProcess[str]:
        """By the command."""
        self.file.write_text(text)
        return self.snf("reload", self.file)

    def asked(self, method: str, path: str, body: str, token: str | None) -> dict[str, Any]:
        """What the API answers; None: with the right token."""
        access = read_access(self.run_directory)
        kind = "application/toml" if path == "/deployment" else "application/json"
        headers = {"Authorization": f"Bearer {token or access.token}", "Content-Type": kind}
        with self.control.namespace.entered(), httpx.Client(base_url=access.api, headers=headers) as client:
            answer: dict[str, Any] = client.request(method, path, content=body).json()
        return answer

    @contextmanager
    def standby(self) -> Iterator[Orchestra]:
        """Another orchestrator, on another machine of the control network, that stands by when the block begins."""
        asked, second = self.stands_by(), Orchestra(self.control, self.file, self.run_directory, self._other)
        second.start("--standby")
        try:
            second.wait(lambda: self.stands_by() > asked, "the second one does not stand by")
            yield second
        finally:
            second.end()

    def stands_by(self) -> int:
        """How many times an orchestrator has said so."""
        return (self.lab.folder / "orchestrator.log").read_text().count("stands by")

    def wait_taken_over(self, seconds: float) -> None:
        """Until another orchestrator has announced itself."""
        before, deadline = read_access(self.run_directory).api, time.monotonic() + seconds
        while read_access(self.run_directory).api == before:
            assert time.monotonic() < deadline, f"nobody took over within {seconds} s"
            time.sleep(0.01)

    def snf(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """A command of an operator, where the orchestrator runs."""
        return run_snf(self.control.namespace, *words)


def run_snf(namespace: Namespace, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """A command in the namespace; it may fail."""
    command: Sequence[str] = [*SNF, *map(str, words)]
    with namespace.entered():
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def orchestra_lab(alter: Callable[[str], str] = str) -> Iterator[OrchestraLab]:
    """`minimum` instances carry when the block begins; everything is gone when it ends. `alter`: the file."""
    with ExitStack() as stack:
        yield OrchestraLab(stack, alter)
