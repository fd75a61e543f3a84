"""Checks of port settings that DPDK would only answer with a number: is the interface there, may we open it?"""

from __future__ import annotations

import difflib
import socket
from pathlib import Path

from statelessnf.config import Ports
from statelessnf.errors import StartFailed

CAP_NET_RAW = 13  # capability number: packet sockets and AF_XDP
KERNEL_DRIVERS = ("net_af_xdp", "net_af_packet", "net_tap")


def check_ports(ports: Ports, file: Path) -> None:
    """Raises StartFailed: an interface that does not exist, or no permission for the kind of port."""
    for side, device in (("inside", ports.inside), ("outside", ports.outside)):
        where = f"{file}: instance.ports.{side}"
        if device.startswith(KERNEL_DRIVERS) and not _may_open():
            raise StartFailed(f"no permission to open {device.partition(',')[0]}", where, "run it as root")
        for name, value in (argument.partition("=")[::2] for argument in device.split(",")[1:]):
            if name == "iface" and device.startswith(KERNEL_DRIVERS[:2]) and value not in _interfaces():
                raise StartFailed(f"there is no network interface {value!r}", where, _suggestion(value))


def _interfaces() -> list[str]:
    """Of this process's network namespace; /sys/class/net may show another's, that in which it was mounted."""
    return sorted(name for _, name in socket.if_nameindex())


def _suggestion(name: str) -> str:
    names = _interfaces()
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]!r}?" if near else f"interfaces are: {', '.join(names)}"


def _may_open() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_NET_RAW & 1)
    return False
