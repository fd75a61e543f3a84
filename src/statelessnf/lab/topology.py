"""The demo's network: clients - switch - N instances side by side - switch - server.

    clients ---- [ switch ] ---- in0 instance 0 out0 ---- [ switch ] ---- server
                            ---- in1 instance 1 out1 ----

Clients and server share a subnet, since an instance is a bump in the wire; ARP goes through the instances like
everything else. Each instance has a namespace with interfaces `inside` and `outside`; one namespace is the switch.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface
from types import TracebackType
from typing import Self

from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, Meter, Traffic, add_address, connect
from statelessnf.lab.namespaces import Namespace
from statelessnf.lab.spread import Nftables, Spread, ruleset

CLIENT = IPv4Interface("10.0.0.1/24")
SERVER = IPv4Interface("10.0.0.2/24")


class Topology:
    """The network around `instances` instances; without any steering yet, so nothing gets through."""

    def __init__(self, lab: Lab, instances: int) -> None:
        self.clients, self.server, self.switch = (lab.namespace(role) for role in ("clients", "server", "switch"))
        self.instances = [lab.namespace(f"instance{i}") for i in range(instances)]
        _attach(self.clients, self.switch, "clients", CLIENT)
        _attach(self.server, self.switch, "server", SERVER)
        for i, namespace in enumerate(self.instances):
            connect(Interface(self.switch, f"in{i}"), Interface(namespace, "inside"))
            connect(Interface(self.switch, f"out{i}"), Interface(namespace, "outside"))
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
    def server_address(self) -> IPv4Address:
        """Where the clients find the server."""
        return SERVER.ip

    def steer(self, spread: Spread, live: Sequence[int]) -> None:
        """Spread the traffic over the instances with these numbers, from now on, in one transaction."""
        self._nftables.apply(ruleset(spread, len(self.instances), live))

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


def _attach(host: Namespace, switch: Namespace, port: str, address: IPv4Interface) -> None:
    """Link a host to the switch's port of that name, and give the host its address."""
    connect(Interface(host, "eth0"), Interface(switch, port))
    add_address(Interface(host, "eth0"), address)
