"""A Linux router in place of an instance: a NAT, or a load balancer, known to be right.

Where a test passes with it, the network and the test are right. It keeps its state to itself, so there is one.
"""

from collections.abc import Sequence
from contextlib import closing
from ipaddress import ip_interface

from statelessnf.lab.links import Interface, add_address, add_route, set_mac
from statelessnf.lab.routed import INSIDE_GATEWAYS, ROUTERS, forward
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.steering.libnftables import Nftables


def become_router(namespace: Namespace, mac: bytes, owned: Sequence[str], rules: str) -> None:
    """Let an instance's namespace forward by the kernel, with `owned` addresses outside and these nftables rules."""
    for name in ("inside", "outside"):
        set_mac(Interface(namespace, name), mac)
    namespace.set_sysctl("net/ipv6/conf/all/disable_ipv6", 0)
    for side in ("inside", "outside"):
        namespace.set_sysctl(f"net/ipv6/conf/{side}/disable_ipv6", 0)
    forward(namespace)
    for address in INSIDE_GATEWAYS:
        add_address(Interface(namespace, "inside"), address)
    outside = list(map(ip_interface, owned))
    for address in outside:
        add_address(Interface(namespace, "outside"), address)
    for router in ROUTERS:
        if router.version in {address.version for address in outside}:
            add_route(Interface(namespace, "outside"), "default", via=router.ip)
    with closing(Nftables(namespace)) as nftables:
        nftables.apply(rules)
