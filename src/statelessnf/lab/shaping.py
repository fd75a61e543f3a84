"""A rate for links: what an interface sends faster than that waits, and is lost once it has waited for WAIT.

The lab's own links have none: what limits traffic there is the processors, which hosts, switch and instances share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pyroute2 import IPRoute

from statelessnf.lab.links import Interface

BURST = 32768  # bytes that may leave at once
WAIT = "20ms"
_HANDLE, _ROOT = 0x10000, 0xFFFFFFFF  # of the queue; TC_H_ROOT of linux/pkt_sched.h


@contextmanager
def limited(interfaces: Sequence[Interface], mbit: int) -> Iterator[None]:
    """Within the block each of the interfaces sends at most `mbit` million bits a second, by tbf (tc-tbf(8))."""
    limiting: list[Interface] = []
    try:
        for interface in interfaces:
            _queue(interface, "add", "tbf", rate=mbit * 125_000, burst=BURST, latency=WAIT)
            limiting.append(interface)
        yield
    finally:
        for interface in limiting:
            _queue(interface, "del")


def _queue(interface: Interface, command: str, kind: str | None = None, **settings: int | str) -> None:
    with interface.namespace.entered(), IPRoute() as netlink:
        index = netlink.link_lookup(ifname=interface.name)[0]
        netlink.tc(command, kind, index, _HANDLE, parent=_ROOT, **settings)
