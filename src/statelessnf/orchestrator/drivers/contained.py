"""The first process of a container that waits for interfaces: `INTERFACE… -- COMMAND…`.

They are moved into the container when it runs already, and the instance needs them when it starts. The kernel tells of
each change, so nothing is polled; when all are up this process becomes COMMAND. Standard library only, as it must be
quick.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import sys
from contextlib import suppress

PATIENCE = 10.0  # seconds
_SIOCGIFFLAGS = 0x8913  # netdevice(7)
_IFF_UP = 1
_RTMGRP_LINK = 1  # rtnetlink(7)


def main(words: list[str]) -> None:
    """Ends with exit code 1 if they do not come."""
    at = words.index("--")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the first process of a container has no default
    if not _all_up(words[:at]):
        sys.exit(f"snf: interfaces {', '.join(words[:at])} were not given to this container within {PATIENCE:g} s")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.execvp(words[at + 1], words[at + 1 :])


def _all_up(interfaces: list[str]) -> bool:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as news:
        news.bind((0, _RTMGRP_LINK))
        news.settimeout(PATIENCE)
        with suppress(TimeoutError):
            while not all(map(_up, interfaces)):
                with suppress(BlockingIOError):  # too many changes to keep: look anyway
                    news.recv(1 << 16)
            return True
    return False


def _up(interface: str) -> bool:
    request = struct.pack("16sH14x", interface.encode(), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request)
        except OSError:
            return False
    return bool(struct.unpack("16sH14x", answer)[1] & _IFF_UP)


if __name__ == "__main__":
    main(sys.argv[1:])
