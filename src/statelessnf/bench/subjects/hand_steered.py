"""Our firewall as a subject: instances of one deployment behind the lab's switch, and a watcher that moves traffic.

The watcher knows an instance's end by its pidfd, and how much each is given by the switch's counters; it has no
heartbeats. With `memory` as its store it is the paper's baseline. In place of instances there can be processes that
only forward: what they reach tells what a way costs by itself.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from statelessnf.bench.subjects.subject import Failure, Way
from statelessnf.bench.subjects.watch import RateWatch, Watch
from statelessnf.errors import LabError
from statelessnf.lab.fleet import start_instances, wait_ready
from statelessnf.lab.instances import write_deployment
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Meter, Traffic
from statelessnf.lab.topology import CLIENT, Topology
from statelessnf.lab.web import answers
from statelessnf.orchestrator.steering.steering import Spread

XDP_PORTS = ("net_af_xdp0,iface=inside", "net_af_xdp1,iface=outside")
PLAIN = (sys.executable, "-m", "statelessnf.bench.plain", *XDP_PORTS)
SPREADS: dict[Way, Spread] = {Way.symmetric: "flow", Way.asymmetric: "direction", Way.spray: "packet"}


class HandSteered:
    """See subject.Elastic. `store`: `embedded`, `memory` for the baseline, or None: nothing but forwarding.

    `udp`: ports that clients may reach.
    """

    failures: frozenset[Failure] = frozenset({Failure.kill, Failure.move})
    ways: frozenset[Way] = frozenset(Way)
    client_address = str(CLIENT.ip)

    def __init__(self, stack: ExitStack, lab: Lab, store: str | None, instances: int, udp: Sequence[int]) -> None:
        self.name = {"memory": "baseline", None: "plain"}.get(store, "stateless")
        self._stack, self._way, self._lock = stack, Way.symmetric, threading.Lock()
        self._topology = stack.enter_context(Topology(lab, instances))
        self.clients, self.server = self._topology.clients, self._topology.server
        self.server_address = self._topology.server_address
        deployment = write_deployment(lab.folder, store or "memory", udp)
        self._instances = start_instances(stack, self._topology, deployment, command=None if store else PLAIN)
        self._live = list(range(instances))  # and not drained
        self._size = instances
        self._ended: list[int] = []  # by us
        self._watches: list[Watch | RateWatch] = []

    def wait_ready(self) -> None:
        for instance in self._instances:
            wait_ready(self._topology, instance, lambda: answers(self.clients, self.server_address, 0.2))
        self._steer()
        self._watch(Watch([instance.pidfd for instance in self._instances], self._leave_out))

    def traffic(self) -> list[int]:
        return [traffic.given_packets for traffic in self._topology.traffic()]

    def carrying(self) -> int:
        return min(self._size, len(self._live))

    def fail(self, failure: Failure, victim: int) -> None:
        if failure is Failure.kill:
            self._ended.append(victim)
            self._instances[victim].kill()
        elif failure is Failure.move:
            self._leave_out(victim)
        else:
            raise LabError(f"{self.name} cannot cope with {failure}", "snf bench", "leave it out")

    def steer(self, way: Way) -> None:
        self._way = way
        self._steer()

    def check(self) -> None:
        for instance in self._instances:
            if instance.number not in self._ended and not instance.alive:
                raise instance.lost()
        for watch in self._watches:
            watch.check()

    def suspicions(self) -> int:
        return 0  # nobody looks

    def scale(self, capacity: float) -> None:
        self._resize(1)
        switch, most = self._topology.switch, len(self._instances)
        self._watch(RateWatch(lambda: Meter(switch), _given, most, capacity, self._resize))

    def _watch(self, watch: Watch | RateWatch) -> None:
        self._watches.append(watch)
        self._stack.enter_context(watch)

    def _resize(self, size: int) -> None:
        self._size = size
        self._steer()

    def _leave_out(self, number: int) -> None:
        self._live = [other for other in self._live if other != number]
        self._steer()

    def _steer(self) -> None:
        with self._lock:
            self._topology.steer(SPREADS[self._way], self._live[: self._size])


def _given(counts: Mapping[str, Traffic]) -> int:
    """Packets that all instances have been given at the switch's ports towards them."""
    return sum(count.sent_packets for name, count in counts.items() if name not in ("clients", "server", "lo"))
