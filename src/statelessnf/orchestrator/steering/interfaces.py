"""The switch's ports where they are Linux interfaces: which there are, which are up, what each has sent.

Read over netlink, in the namespace that has them. Changes are announced by the kernel on a socket of which nothing is
taken in but that it spoke: what has become of the interfaces is read anew.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from pyroute2 import IPRoute

from statelessnf.lab.namespaces import Namespace
from statelessnf.orchestrator.steering.where import entered

_RTMGRP_LINK = 1  # rtnetlink.h
_UP = 0x1 | 0x10000  # if.h: IFF_UP, IFF_LOWER_UP
_LONGEST, _DRAINED = 1 << 16, 256


@dataclass(frozen=True)
class Link:
    """An interface; another one of the same name has another `index`."""

    index: int
    up: bool  # by the administrator, and the other end is there


class Interfaces:
    """The interfaces of a namespace; None: of the process's own. One thread at a time; 0.1 ms for each of them."""

    def __init__(self, namespace: Namespace | None) -> None:
        with entered(namespace):
            self._netlink = IPRoute()
            self.news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self.news.bind((0, _RTMGRP_LINK))

    def read(self) -> dict[str, Link]:
        """All of them, by name."""
        return {
            link.get_attr("IFLA_IFNAME"): Link(link["index"], link["flags"] & _UP == _UP)
            for link in self._netlink.get_links()
        }

    def sent(self) -> dict[str, int]:
        """Packets that each has put out since it was made, by name."""
        return {
            link.get_attr("IFLA_IFNAME"): link.get_attr("IFLA_STATS64")["tx_packets"]
            for link in self._netlink.get_links()
        }

    def drain(self) -> None:
        """Takes what is waiting at `news`."""
        for _ in range(_DRAINED):
            try:
                self.news.recv(_LONGEST)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # so much came that some is lost: news, too
                    raise

    def close(self) -> None:
        """Closes both sockets."""
        self.news.close()
        self._netlink.close()
