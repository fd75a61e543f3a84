"""The switch's ports where they are Linux interfaces: which there are, which are up, what each has sent.

Changes are announced by the kernel on netlink sockets of which nothing is taken in but that it spoke: what has become
of the interfaces is asked anew, one by one, a few microseconds each. Changes of nftables are announced, too, as others
may flush what is ours; our own are among them.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path

from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.steering.where import entered

_RTMGRP_LINK = 1  # linux/rtnetlink.h
_NETLINK_NETFILTER, _NFTABLES = 12, 1 << 6  # linux/netlink.h, linux/netfilter/nfnetlink.h: NFNLGRP_NFTABLES
_GROUPS = {socket.NETLINK_ROUTE: _RTMGRP_LINK, _NETLINK_NETFILTER: _NFTABLES}
_KIND = socket.SOCK_RAW | socket.SOCK_NONBLOCK
_GET_INDEX, _GET_FLAGS = 0x8933, 0x8913  # linux/sockios.h: SIOCGIFINDEX, SIOCGIFFLAGS
_REQUEST = struct.Struct("16s24x")  # struct ifreq
_INDEX, _FLAGS = struct.Struct("16xi"), struct.Struct("16xH")
_UP = 0x1 | 0x40  # linux/if.h: IFF_UP, IFF_RUNNING
_LONGEST, _DRAINED = 1 << 16, 256
_SENT_PACKETS = 9  # column of /proc/net/dev, proc(5)


@dataclass(frozen=True)
class Link:
    """An interface; another one of the same name has another `index`."""

    index: int
    up: bool  # by the administrator, and the other end is there


class Interfaces:
    """The interfaces of a namespace; None: of the process's own. Raises OSError where it cannot be entered."""

    def __init__(self, namespace: Namespace | None) -> None:
        self._namespace = namespace
        with ExitStack() as undo:
            with entered(namespace):
                self._any = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                families = (socket.socket(socket.AF_NETLINK, _KIND, family) for family in _GROUPS)
                self.news = tuple(undo.enter_context(news) for news in families)
            for news, groups in zip(self.news, _GROUPS.values(), strict=True):
                news.bind((0, groups))
            undo.pop_all()

    def read(self, names: Iterable[str]) -> dict[str, Link]:
        """Those of these that are there."""
        links = {name: self._link(name) for name in names}
        return {name: link for name, link in links.items() if link is not None}

    def sent(self) -> dict[str, int]:
        """Packets that each has put out since it was made, by name."""
        with entered(self._namespace):
            lines = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
        columns = [(name.strip(), rest.split()) for name, _, rest in (line.rpartition(":") for line in lines)]
        return {name: int(counts[_SENT_PACKETS]) for name, counts in columns}

    def drain(self) -> None:
        """Takes what is waiting at `news`."""
        for news in self.news:
            self._drain(news)

    def _drain(self, news: socket.socket) -> None:
        for _ in range(_DRAINED):
            try:
                news.recv(_LONGEST)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # so much came that some is lost: news, too
                    raise

    def close(self) -> None:
        """Closes all sockets."""
        for news in self.news:
            news.close()
        self._any.close()

    def _link(self, name: str) -> Link | None:
        if not 0 < len(name.encode()) < 16:
            return None
        request = _REQUEST.pack(name.encode())
        try:
            (index,) = _INDEX.unpack_from(ioctl(self._any, _GET_INDEX, request))
            (flags,) = _FLAGS.unpack_from(ioctl(self._any, _GET_FLAGS, request))
        except OSError:  # ENODEV
            return None
        return Link(index, flags & _UP == _UP)
