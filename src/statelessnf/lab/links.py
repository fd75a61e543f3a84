"""Links between namespaces: veth pairs that carry plain frames.

Every checksum is finished and no frame is larger than the MTU when it reaches the other end: transmit checksums, TSO,
GSO and GRO are off on both ends, and a VLAN tag is part of the frame, not of its kernel description. A network function
in user space would otherwise see unfinished checksums, 64 KB super-frames and frames that lost their tag.
"""

import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_network
from socket import AF_INET, AF_INET6

from pyroute2 import IPRoute
from pyroute2.ethtool.ioctl import IoctlEthtool

from statelessnf.namespaces import Namespace

_IFA_F_NODAD = 0x02  # if_addr.h: no duplicate address detection, which takes a second
_DISABLED, _FORWARDING = 0, 3  # if_bridge.h: states of a port
OFFLOADS = (
    "tx-checksumming",
    "scatter-gather",
    "tcp-segmentation-offload",
    "generic-segmentation-offload",
    "generic-receive-offload",
    "tx-vlan-offload",
)


@dataclass(frozen=True)
class Interface:
    """One end of a link: a named interface in a namespace."""

    namespace: Namespace
    name: str


@dataclass(frozen=True)
class Traffic:
    """What an interface has received and sent since it was made."""

    received_packets: int
    received_bytes: int
    sent_packets: int
    sent_bytes: int


def connect(one: Interface, other: Interface) -> None:
    """Make a link between two interfaces, offloads off, both up."""
    with one.namespace.entered(), IPRoute() as netlink, other.namespace.path.open() as target:
        peer = {"ifname": other.name, "net_ns_fd": target.fileno()}
        netlink.link("add", ifname=one.name, kind="veth", peer=peer)
    for end in (one, other):
        with end.namespace.entered():
            _turn_offloads_off(end.name)
            _bring_up(end.name)


def add_address(interface: Interface, address: IPv4Interface | IPv6Interface) -> None:
    """Give the interface an address, to be used at once."""
    extra = {"flags": _IFA_F_NODAD} if address.version == 6 else {}
    with interface.namespace.entered(), IPRoute() as netlink:
        index = netlink.link_lookup(ifname=interface.name)[0]
        netlink.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen, **extra)


def set_mac(interface: Interface, mac: bytes) -> None:
    """Replace the interface's MAC address, 6 bytes."""
    with interface.namespace.entered(), IPRoute() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname=interface.name)[0], address=mac.hex(":"))


def add_route(
    interface: Interface, destination: str, via: IPv4Address | IPv6Address | None = None, mtu: int | None = None
) -> None:
    """A route over the interface; `destination` is a network, or `default` of the version of `via`."""
    version = via.version if via is not None else ip_network(destination).version
    route: dict[str, object] = {"dst": destination, "family": AF_INET6 if version == 6 else AF_INET}
    if via is not None:
        route["gateway"] = str(via)
    if mtu is not None:
        route["metrics"] = {"mtu": mtu}
    with interface.namespace.entered(), IPRoute() as netlink:
        netlink.route("add", oif=netlink.link_lookup(ifname=interface.name)[0], **route)


def move_route(interface: Interface, via: IPv4Address) -> None:
    """The interface's default route leads to another gateway from now on."""
    with interface.namespace.entered(), IPRoute() as netlink:
        index = netlink.link_lookup(ifname=interface.name)[0]
        netlink.route("replace", dst="default", oif=index, gateway=str(via))


def add_bridge(interface: Interface) -> None:
    """Make a bridge without ports, up; it neither waits nor asks who wants multicast."""
    with interface.namespace.entered(), IPRoute() as netlink:
        netlink.link("add", ifname=interface.name, kind="bridge", br_mcast_snooping=0, br_stp_state=0)
        netlink.link("set", index=netlink.link_lookup(ifname=interface.name)[0], state="up")


def join_bridge(port: Interface, bridge: str) -> None:
    """Make the interface a port of the bridge of that name in its namespace."""
    with port.namespace.entered(), IPRoute() as netlink:
        index, master = (netlink.link_lookup(ifname=name)[0] for name in (port.name, bridge))
        netlink.link("set", index=index, master=master)


def set_forwarding(port: Interface, *, on: bool) -> None:
    """Whether a bridge's port forwards, at once. The link itself stays up: its news may take Linux a second."""
    state = _FORWARDING if on else _DISABLED
    with port.namespace.entered():  # not by pyroute2: its "state" of a bridge's port is that of the link
        subprocess.run(["bridge", "link", "set", "dev", port.name, "state", str(state)], check=True, timeout=10)


class Meter:
    """Reads the counters of all of a namespace's interfaces over one netlink connection, about 1 ms each time."""

    def __init__(self, namespace: Namespace) -> None:
        with namespace.entered():
            self._netlink = IPRoute()

    def read(self) -> dict[str, Traffic]:
        """Traffic by interface name."""
        links = {link.get_attr("IFLA_IFNAME"): link.get_attr("IFLA_STATS64") for link in self._netlink.get_links()}
        return {
            name: Traffic(count["rx_packets"], count["rx_bytes"], count["tx_packets"], count["tx_bytes"])
            for name, count in links.items()
        }

    def close(self) -> None:
        """Close the netlink connection."""
        self._netlink.close()


def _bring_up(name: str) -> None:
    with IPRoute() as netlink:
        for interface in ("lo", name):
            netlink.link("set", index=netlink.link_lookup(ifname=interface)[0], state="up")


def _turn_offloads_off(name: str) -> None:
    device = IoctlEthtool(name)
    try:
        for offload in OFFLOADS:
            device.set_offload_flag(offload, False)
    finally:
        device.close()
