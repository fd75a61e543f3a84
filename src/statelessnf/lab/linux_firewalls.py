"""What operators use today: two Linux firewalls that share their connection state, one active and one standing by.

    clients 10.0.0.1 ---- [inside] ---- firewall 0 ---- [outside] ---- server 10.0.1.1
                          [inside] ---- firewall 1 ---- [outside]
                                            |  0 and 1 have a link of their own, for conntrackd

Stateful nftables rules with `nf_conntrack_tcp_loose=0`, conntrackd in FTFW mode, keepalived with adverts every 10 ms:
the active one has the virtual addresses 10.0.0.254 and 10.0.1.254, the default gateways of clients and server.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Interface

from statelessnf.errors import LabError
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, Meter, add_address, add_bridge, add_route, connect, join_bridge, move_route
from statelessnf.lab.linux_firewall import Ends, LinuxFirewall
from statelessnf.lab.linux_firewall_files import rules_for

CLIENT, SERVER = IPv4Interface("10.0.0.1/24"), IPv4Interface("10.0.1.1/24")
GATEWAYS = IPv4Interface("10.0.0.254/24"), IPv4Interface("10.0.1.254/24")  # virtual: inside, outside
ENDS = (
    Ends(IPv4Interface("10.0.0.252/24"), IPv4Interface("10.0.1.252/24"), IPv4Interface("172.16.0.1/30"), 254),
    Ends(IPv4Interface("10.0.0.253/24"), IPv4Interface("10.0.1.253/24"), IPv4Interface("172.16.0.2/30"), 253),
)
_READY_SECONDS = 15.0


class LinuxFirewalls:
    """The pair between clients and a server, started; what it starts is on `stack`.

    `tcp`, `udp`: ports that clients may reach. Raises LabError where a program is missing or refuses its configuration.
    """

    def __init__(self, stack: ExitStack, lab: Lab, tcp: Sequence[int], udp: Sequence[int]) -> None:
        self.clients, self.server = lab.namespace("clients"), lab.namespace("server")
        self._bridges = {side: lab.namespace(side) for side in ("inside", "outside")}
        self.firewalls = [LinuxFirewall(lab, number) for number in range(len(ENDS))]
        for firewall in self.firewalls:
            stack.callback(firewall.close)
        self._connect()
        self._meters = [Meter(firewall.namespace) for firewall in self.firewalls]
        for meter in self._meters:
            stack.callback(meter.close)
        rules = rules_for(tcp, udp)
        for firewall, own, other in zip(self.firewalls, ENDS, reversed(ENDS), strict=True):
            firewall.start(own, other, GATEWAYS, rules)
        self._wait("no firewall became the active one", lambda: self.active is not None)

    @property
    def server_address(self) -> IPv4Address:
        """Where the clients find the server."""
        return SERVER.ip

    @property
    def active(self) -> int | None:
        """The firewall that has both virtual addresses; None while none has, or more than one."""
        holders = [firewall.number for firewall in self.firewalls if firewall.holds(GATEWAYS)]
        return holders[0] if len(holders) == 1 else None

    def traffic(self) -> list[int]:
        """Packets that each has been given on its two sides so far."""
        counts = [meter.read() for meter in self._meters]
        return [sum(count[side].received_packets for side in ("inside", "outside")) for count in counts]

    def route(self, outbound: int | None, inbound: int | None) -> None:
        """What clients send goes through firewall `outbound`, what the server sends through `inbound`.

        None: through the active one, as the virtual addresses say.
        """
        way_out = GATEWAYS[0] if outbound is None else ENDS[outbound].inside
        way_in = GATEWAYS[1] if inbound is None else ENDS[inbound].outside
        move_route(Interface(self.clients, "eth0"), way_out.ip)
        move_route(Interface(self.server, "eth0"), way_in.ip)

    def _connect(self) -> None:
        for bridge in self._bridges.values():
            add_bridge(Interface(bridge, "bridge"))
        for host, side, address, gateway in (
            (self.clients, "inside", CLIENT, GATEWAYS[0]),
            (self.server, "outside", SERVER, GATEWAYS[1]),
        ):
            self._attach(Interface(host, "eth0"), side, "host")
            add_address(Interface(host, "eth0"), address)
            add_route(Interface(host, "eth0"), "default", via=gateway.ip)
        for firewall in self.firewalls:
            for side in self._bridges:
                self._attach(Interface(firewall.namespace, side), side, f"firewall{firewall.number}")
        one, other = (Interface(firewall.namespace, "sync") for firewall in self.firewalls)
        connect(one, other)

    def _attach(self, interface: Interface, side: str, name: str) -> None:
        port = Interface(self._bridges[side], name)
        connect(interface, port)
        join_bridge(port, "bridge")

    def _wait(self, otherwise: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not condition():
            for firewall in self.firewalls:
                firewall.check()
            if time.monotonic() > deadline:
                raise LabError(f"{otherwise} within {_READY_SECONDS:g} s")
            time.sleep(0.01)
