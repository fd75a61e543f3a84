"""Where a flood is let loose: two instances of a function in the routed lab, a client and a server with a steady load.

A flood comes in at a port of the switch of its own, whose gate lets it on to the instances or drops it. The sender
sends either way, so that it takes the same of the machine whether the flood gets through or not. Hosts drop what comes
from or goes to addresses that only floods have: what they do with a flood is not the function's matter.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from statelessnf.bench.flood_frames import STRANGERS, Flood
from statelessnf.bench.flood_functions import PORT, Plan
from statelessnf.bench.flood_sender import encoded
from statelessnf.config import load
from statelessnf.errors import LabError
from statelessnf.lab.deployments import write_routed_deployment
from statelessnf.lab.fleet import start_instances, wait_ready
from statelessnf.lab.instances import Instance
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, Meter, connect
from statelessnf.lab.routed import INSIDE_GATEWAYS, ROUTERS, RoutedTopology
from statelessnf.namespaces import Namespace, stop
from statelessnf.orchestrator.steering.libnftables import Nftables
from statelessnf.owned import deployment_mac
from statelessnf.publishing import Publications
from statelessnf.store.url import unix_url

NAME = "floods"
INSTANCES = 2
CONNECTIONS = 50
RATE = 100_000  # frames of the flood a second
MEMORY_MB = 64  # of the store: a flood that opens flows has filled it within seconds
PATIENCE = 30.0  # seconds, for a line of a program of ours

_DROP_STRANGERS = f"""
table netdev strangers {{
  chain arriving {{
    type filter hook ingress device "eth0" priority 0;
    ip saddr {STRANGERS} drop
    ip daddr {STRANGERS} drop
  }}
}}
"""


class SteadyFlows:
    """Established connections (steady_flows.py) from the client to the service; the server is there as long."""

    def __init__(self, stack: ExitStack, client: Namespace, server: Namespace, own: IPv4Address) -> None:
        self._stack, self._client = stack, client
        self._read(self._start(server, "serve", own, PORT))

    def open(self, service: IPv4Address) -> None:
        """All connections. Raises LabError if they cannot be opened."""
        self._process = self._start(self._client, "ask", service, PORT, CONNECTIONS)
        self.look()

    def look(self) -> dict[str, Any]:
        """What `ask` says now. Raises LabError if it has ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return dict(json.loads(self._read(self._process)))

    def _start(self, host: Namespace, *arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "statelessnf.bench.steady_flows", *map(str, arguments)]
        process = host.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            self._stack.callback(stream.close)
        self._stack.callback(stop, process)
        return process

    def _read(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], PATIENCE)[0] or not (line := process.stdout.readline()):
            raise LabError("established flows do not get through", "snf bench floods")
        return line


class FloodBed:
    """Everything is on `stack`. Raises ConfigError, LabError."""

    def __init__(self, stack: ExitStack, function: str, plan: Plan, flood: Flood) -> None:
        self._stack, self._plan, self._flood = stack, plan, flood
        self._lab = stack.enter_context(Lab())
        self._deployment = write_routed_deployment(
            self._lab.folder, NAME, function, plan.section, memory_mb=MEMORY_MB, network=plan.network
        )
        load(self._deployment)  # a fault in it is found here, and not by an instance
        self._topology = stack.enter_context(RoutedTopology(self._lab, INSTANCES, deployment_mac(NAME)))
        hosts = {"client": plan.client, "server": plan.server}
        self._client, server = (self._host(role, *where) for role, where in hosts.items())
        self._drop_strangers(self._topology.router)
        self._gate = self._open_port()
        self._meter = stack.enter_context(closing(Meter(self._topology.switch)))
        self._steady = SteadyFlows(stack, self._client, server, IPv4Interface(plan.server[1]).ip)
        self.offered = 0  # frames of the flood that went on to the instances
        self.store_share = 0.0  # the most that was seen
        self._instances = self._start()

    def _host(self, role: str, side: str, address: str) -> Namespace:
        inside, routed = side == "inside", bool(self._plan.network)
        make = self._topology.inside_host if inside else self._topology.outside_host
        host = make(role, IPv4Interface(address), gateways=(INSIDE_GATEWAYS if inside else ROUTERS) if routed else ())
        self._drop_strangers(host)
        return host

    def _drop_strangers(self, host: Namespace) -> None:
        with closing(Nftables(host)) as nftables:
            nftables.apply(_DROP_STRANGERS)

    def _open_port(self) -> Nftables:
        source = self._lab.namespace("flood")
        connect(Interface(source, "eth0"), Interface(self._topology.switch, "flood"))
        gate = self._stack.enter_context(closing(Nftables(self._topology.switch)))
        gate.apply(_gate(self._flood, False))
        module, mac = "statelessnf.bench.flood_sender", deployment_mac(NAME).hex()
        command = [sys.executable, "-m", module, "eth0", mac, str(RATE), encoded(self._flood)]
        self._stack.callback(stop, source.start(command))
        return gate

    def _start(self) -> list[Instance]:
        instances = start_instances(self._stack, self._topology, self._deployment)
        for instance in instances:
            wait_ready(self._topology, instance, self._reaches)
        self._topology.steer("packet", range(INSTANCES))
        self._steady.open(self._plan.service)
        socket_path = self._lab.folder / "run" / "store.sock"
        self._store = self._stack.enter_context(closing(Publications(unix_url(str(socket_path)), NAME)))
        self._counts = self._figures(instances)
        return instances

    def _reaches(self) -> bool:
        try:
            with self._client.entered(), socket.create_connection((str(self._plan.service), PORT), 0.5):
                return True
        except OSError:
            return False

    def goodput(self, flooded: bool, settle: float, seconds: float) -> float:
        """Bytes a second that the established flows get, once `settle` seconds have passed. Raises LabError."""
        self._gate.apply(_gate(self._flood, flooded))
        time.sleep(settle)
        offered, first = self._meter.read()["flood"].received_packets, self._steady.look()
        time.sleep(seconds)
        last = self._steady.look()
        if flooded:
            self.offered += self._meter.read()["flood"].received_packets - offered
        self.store_share = max(self.store_share, self._store.memory_share())
        for instance in self._instances:
            if not instance.alive:
                raise instance.lost()
        return float(last["received"] - first["received"]) / float(last["time"] - first["time"])

    def broken(self) -> int:
        """Established connections that have ended."""
        return int(self._steady.look()["broken"])

    def drops(self) -> Counter[str]:
        """Packets that were dropped since the flows are established, by reason; all instances together."""
        return self._figures(self._instances) - self._counts

    def _figures(self, instances: list[Instance]) -> Counter[str]:
        """As each instance says in its next line."""
        total: Counter[str] = Counter()
        for instance in instances:
            instance.read_figures()
            before, deadline = instance.figures, time.monotonic() + PATIENCE
            while instance.figures is before:
                select.select([instance.output], [], [], PATIENCE)
                instance.read_figures()
                if not instance.alive or time.monotonic() > deadline:
                    raise instance.lost()
            total.update(instance.figures["drops"])
        return total


def _gate(flood: Flood, is_open: bool) -> str:
    link = "in" if flood.from_inside else "out"
    choices = ", ".join(f'{number}: "{link}{number}"' for number in range(INSTANCES))
    rule = f"fwd to numgen inc mod {INSTANCES} map {{ {choices} }}" if is_open else "drop"
    chain = f'chain gate {{\ntype filter hook ingress device "flood" priority 0;\n{rule}\n}}'
    return f"add table netdev flood\ndelete table netdev flood\ntable netdev flood {{\n{chain}\n}}"


@contextmanager
def flood_bed(function: str, plan: Plan, flood: Flood) -> Iterator[FloodBed]:
    """A bed, whose flows are established; gone with the context."""
    with ExitStack() as stack:
        yield FloodBed(stack, function, plan, flood)
