"""The lab's switch with its instances: N of them side by side between a link to the inside and one to the outside.

    clients ---- [ switch ] ---- in0 instance 0 out0 ---- [ switch ] ---- server
                            ---- in1 instance 1 out1 ----

Each instance has a namespace with interfaces `inside` and `outside`; one namespace is the switch. What is attached to
its ports `clients` and `server` is whoever uses it: topology.py, routed.py.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, Meter, Traffic, connect
from statelessnf.orchestrator.steering.libnftables import Nftables
from statelessnf.orchestrator.steering.rules import ruleset, table_of
from statelessnf.orchestrator.steering.steering import Member, Ports, Spread


class Switch:
    """The switch and `instances` empty namespaces for instances; without any steering yet, so nothing gets through.

    `mac` is the deployment's where it answers for addresses: what ARP and neighbour discovery send to it reaches all.
    """

    def __init__(self, lab: Lab, instances: int, mac: bytes | None = None) -> None:
        self.switch = lab.namespace("switch")
        self.instances = [lab.namespace(f"instance{i}") for i in range(instances)]
        for i, namespace in enumerate(self.instances):
            connect(Interface(self.switch, f"in{i}"), Interface(namespace, "inside"))
            connect(Interface(self.switch, f"out{i}"), Interface(namespace, "outside"))
        self._mac, self._places = mac, [Member(f"in{i}", f"out{i}") for i in range(instances)]
        self._nftables = Nftables(self.switch)
        self._meter = Meter(self.switch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._nftables.close()
        self._meter.close()

    @property
    def ports(self) -> list[str]:
        """Names of all of its ports."""
        return ["clients", "server", *(port for place in self._places for port in (place.inside, place.outside))]

    def steer(self, spread: Spread, live: Sequence[int]) -> None:
        """Spread the traffic over the instances with these numbers, from now on, in one transaction."""
        ports, members = Ports("clients", "server", spread, self._mac), [self._places[i] for i in live]
        inside, outside = zip(*((place.inside, place.outside) for place in self._places), strict=True)
        self._nftables.apply(ruleset(table_of("lab"), ports, members, inside, outside))

    def traffic(self) -> list["InstanceTraffic"]:
        """What each instance has been given and has sent, in packets and bytes of both sides together."""
        counts = self._meter.read()
        return [InstanceTraffic(counts[f"in{i}"], counts[f"out{i}"]) for i in range(len(self.instances))]


class InstanceTraffic:
    """One instance's traffic as the switch sees it."""

    def __init__(self, inside: Traffic, outside: Traffic) -> None:
        self.given_packets = inside.sent_packets + outside.sent_packets
        self.returned_packets = inside.received_packets + outside.received_packets
        self.returned_bytes = inside.received_bytes + outside.received_bytes
