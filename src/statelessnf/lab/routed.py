"""A network for functions that rewrite: hosts inside, hosts outside, and far ones behind a router outside.

    host 10.0.0.x ---- [lan] ---- [ switch, N instances, switch ] ---- [wan] ---- host 203.0.113.x
                                                                       [wan] ---- router ---- far 198.51.100.x

The deployment stands between two links of which it holds addresses: inside 10.0.0.254, which is the hosts' default
gateway, outside those that its function owns. `lan` and `wan` are bridges in namespaces of their own. The router's way
to NARROW has an MTU of NARROW_MTU. With `ipv6` all of it has IPv6 beside IPv4, on the same links.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_interface

from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, add_address, add_bridge, add_route, connect, join_bridge
from statelessnf.lab.switch import Switch
from statelessnf.namespaces import Namespace

INSIDE_GATEWAYS = (ip_interface("10.0.0.254/24"), ip_interface("fd00::fe/64"))  # of the deployment
ROUTERS = (ip_interface("203.0.113.1/24"), ip_interface("2001:db8:1::1/64"))  # at its outer link
FAR, FAR_TOO, NARROW = map(IPv4Address, ("198.51.100.2", "198.51.100.3", "198.51.100.66"))  # all are the far host's
NARROW_MTU = 1300
FAR_V6 = IPv6Address("2001:db8:2::2")
_FAR_ROUTERS = (ip_interface("198.51.100.1/24"), ip_interface("2001:db8:2::1/64"))
_FAR = tuple(map(ip_interface, (f"{FAR}/24", f"{FAR_TOO}/24", f"{NARROW}/24", f"{FAR_V6}/64")))

AnyInterface = IPv4Interface | IPv6Interface

NETWORK = f"""
[network.inside]
on_link = {[str(one.network) for one in INSIDE_GATEWAYS]}
address = {[str(one.ip) for one in INSIDE_GATEWAYS]}

[network.outside]
on_link = {[str(one.network) for one in ROUTERS]}
gateway = {[str(one.ip) for one in ROUTERS]}
"""


class RoutedTopology(Switch):
    """The network, with its router and the far host; without any steering yet, so nothing gets through."""

    def __init__(self, lab: Lab, instances: int, mac: bytes) -> None:
        super().__init__(lab, instances, mac)
        self._lab, self._ports = lab, 0
        self.lan, self.wan = (self._bridge(name, port) for name, port in (("lan", "clients"), ("wan", "server")))
        self.router = self.outside_host("router", *ROUTERS, gateways=())
        forward(self.router)
        self.far = lab.namespace("far", ipv6=True)
        link_to_router(Interface(self.far, "eth0"), _FAR, Interface(self.router, "far"), _FAR_ROUTERS)
        add_route(Interface(self.router, "far"), f"{NARROW}/32", mtu=NARROW_MTU)

    def inside_host(
        self, role: str, *addresses: AnyInterface, gateways: tuple[AnyInterface, ...] = INSIDE_GATEWAYS
    ) -> Namespace:
        """A host on the inner link, whose interface is `eth0`; its default routes lead to the deployment."""
        host = self._lab.namespace(role, ipv6=True)
        self.attach(host, "eth0", self.lan, *addresses, gateways=gateways)
        return host

    def outside_host(
        self, role: str, *addresses: AnyInterface, gateways: tuple[AnyInterface, ...] = ROUTERS
    ) -> Namespace:
        """A host on the outer link, whose interface is `eth0`; its default routes lead to the router."""
        host = self._lab.namespace(role, ipv6=True)
        self.attach(host, "eth0", self.wan, *addresses, gateways=gateways)
        return host

    def attach(
        self,
        host: Namespace,
        name: str,
        bridge: Namespace,
        *addresses: AnyInterface,
        gateways: tuple[AnyInterface, ...] = (),
    ) -> None:
        """An interface `name` of the host on `lan` or `wan`, with addresses and default routes."""
        self._ports += 1
        port, interface = Interface(bridge, f"port{self._ports}"), Interface(host, name)
        connect(interface, port)
        join_bridge(port, "bridge")
        _give(interface, addresses, gateways)

    def _bridge(self, name: str, switch_port: str) -> Namespace:
        namespace = self._lab.namespace(name)
        add_bridge(Interface(namespace, "bridge"))
        uplink = Interface(namespace, "eth0")
        connect(uplink, Interface(self.switch, switch_port))
        join_bridge(uplink, "bridge")
        return namespace


def link_to_router(
    host: Interface, addresses: Sequence[AnyInterface], router: Interface, gateways: Sequence[AnyInterface]
) -> None:
    """A link between a host and a router, which has the addresses `gateways` there and is the host's way out."""
    connect(host, router)
    _give(router, gateways, ())
    _give(host, addresses, gateways)


def forward(router: Namespace) -> None:
    """Let a namespace pass on packets that are not for itself."""
    router.set_sysctl("net/ipv4/ip_forward", 1)
    router.set_sysctl("net/ipv6/conf/all/forwarding", 1)


def _give(interface: Interface, addresses: Sequence[AnyInterface], gateways: Sequence[AnyInterface]) -> None:
    versions = set()
    for address in addresses:
        add_address(interface, address)
        versions.add(address.version)
    for gateway in gateways:
        if gateway.version in versions:
            add_route(interface, "default", via=gateway.ip)
