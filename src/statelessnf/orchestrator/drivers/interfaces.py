"""Lends interfaces of a network namespace to a container, and takes them back when it has ended.

The container's namespace is held under a name (/run/netns/NAME) from before it gets the first interface until the last
one is back: a veth dies with the namespace that it is in, and with it the switch's end. So a container may die, and the
orchestrator with it; whoever comes next takes the interfaces back. Addresses and routes by a gateway go along.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetlinkError, netns

from statelessnf.errors import DriverError
from statelessnf.namespaces import Namespace

_UNIVERSE = 0  # RT_SCOPE_UNIVERSE: not those that the kernel makes itself


def lend(names: Sequence[str], home: str | None, holder: str, pid: int) -> None:
    """From namespace `home` (None: the host's) into that of process `pid`, held as `holder`; they are up then.

    Raises DriverError; then `take_back` is to be called.
    """
    try:
        netns.attach(holder, pid)
        for name in names:
            _carry(name, home, holder, up=True)
    except (OSError, NetlinkError) as error:
        what = f"cannot move interfaces {', '.join(names)} into a container: {error}"
        raise DriverError(
            what, f"namespace {home or 'of the host'}", "see that they are there, and run as root"
        ) from error


def take_back(names: Sequence[str], home: str | None, holder: str) -> None:
    """Those that are in `holder` go home, down as a port is that nobody serves; `holder` is let go.

    Nothing happens where that has been done. Raises DriverError.
    """
    if not Namespace(holder).path.exists():
        return
    try:
        for name in names:
            with suppress(FileNotFoundError):  # it never came here
                _carry(name, holder, home, up=False)
        netns.remove(holder)
    except (OSError, NetlinkError) as error:
        what = f"cannot take interfaces {', '.join(names)} back from a container: {error}"
        raise DriverError(what, f"namespace {holder}", f"move them by hand, then: ip netns delete {holder}") from error


def _carry(name: str, source: str | None, target: str | None, *, up: bool) -> None:
    """Raises FileNotFoundError if the source has no such interface."""
    with ExitStack() as stack:
        destination = stack.enter_context(_path(target).open())
        with _inside(source), IPRoute() as netlink:
            index = _index(netlink, name)
            addresses = list(netlink.get_addr(index=index, scope=_UNIVERSE))
            routes = [route for route in netlink.get_routes(oif=index) if route.get_attr("RTA_GATEWAY")]
            netlink.link("set", index=index, net_ns_fd=destination.fileno())
        with _inside(target), IPRoute() as netlink:
            index = _index(netlink, name)
            for address in addresses:
                _give_address(netlink, index, address)
            if up:
                netlink.link("set", index=index, state="up")
                for route in routes:
                    _give_route(netlink, index, route)


def _index(netlink: Any, name: str) -> int:
    found = netlink.link_lookup(ifname=name)
    if not found:
        raise FileNotFoundError(2, f"no interface {name}")
    return int(found[0])


def _give_address(netlink: Any, index: int, address: Any) -> None:
    text = address.get_attr("IFA_LOCAL") or address.get_attr("IFA_ADDRESS")
    netlink.addr("replace", index=index, address=text, prefixlen=address["prefixlen"])


def _give_route(netlink: Any, index: int, route: Any) -> None:
    where = route.get_attr("RTA_DST")
    destination = f"{where}/{route['dst_len']}" if where else "default"
    netlink.route("replace", dst=destination, gateway=route.get_attr("RTA_GATEWAY"), oif=index, family=route["family"])


def _path(namespace: str | None) -> Path:
    return Path(f"/proc/{os.getpid()}/ns/net") if namespace is None else Namespace(namespace).path


@contextmanager
def _inside(namespace: str | None) -> Iterator[None]:
    with ExitStack() as stack:
        if namespace is not None:
            stack.enter_context(Namespace(namespace).entered())
        yield
