"""Receives what send_worker.py sends, and records when it came.

Order: `own` [address, port]; `open` [address, port]: a peer that gets a datagram from us every few ms until one of its
has come, so that a firewall lets it through; or null. Each further line, `{}`, is answered with everything since the
start: `received` (each number once), `reordered`, `last` [number, s] or null, `gaps` longer than LONG [from s, length
ms, numbers missing, ms between the two when they were sent], and `bins`: [s, datagrams] for each BIN.

The times are the kernel's, taken when a packet came in at the interface: they do not depend on when this process runs.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from typing import Any

from statelessnf.bench.instruments.send_worker import HEAD

LONG = 2_000_000  # ns
BIN = 50_000_000  # ns
REST = 0.002  # seconds between two looks: the process sleeps meanwhile
OPEN_EVERY = 0.02  # seconds
BUFFER = 1 << 23  # bytes: a second's, at the least
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35  # asm-generic/socket.h
_TIMESPEC = struct.Struct("qq")


class Receiver:
    """One socket, and what came."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.bind(tuple(order["own"]))
        self.address: tuple[str, int] = self._socket.getsockname()
        self._open = tuple(order["open"]) if order["open"] else None
        self._opened = 0.0
        self._seen = bytearray()
        self._received = self._reordered = 0
        self._last: tuple[int, int, int] | None = None  # number, sent, arrived
        self._gaps: list[tuple[float, float, int, float]] = []
        self._bins: dict[int, int] = {}

    def drain(self) -> None:
        """Take in everything that has come."""
        offset = time.monotonic_ns() - time.time_ns()
        if self._open and self._last is None and time.monotonic() > self._opened + OPEN_EVERY:
            self._opened = time.monotonic()
            self._socket.sendto(bytes(HEAD.size), self._open)
        while True:
            try:
                content, ancillary, _, _ = self._socket.recvmsg(HEAD.size, 64)
            except BlockingIOError:
                return
            if len(content) == HEAD.size and ancillary:
                seconds, ns = _TIMESPEC.unpack(ancillary[0][2])
                number, sent = HEAD.unpack(content)
                self._take(number, sent, seconds * 1_000_000_000 + ns + offset)

    def _take(self, number: int, sent: int, arrived: int) -> None:
        if number >= len(self._seen):
            self._seen.extend(bytes(number + 65536 - len(self._seen)))
        if self._seen[number]:
            return
        self._seen[number] = 1
        self._received += 1
        self._bins[arrived // BIN] = self._bins.get(arrived // BIN, 0) + 1
        if self._last is None:
            self._last = number, sent, arrived
        elif number < self._last[0]:
            self._reordered += 1
        else:
            self._follow(number, sent, arrived, self._last)

    def _follow(self, number: int, sent: int, arrived: int, last: tuple[int, int, int]) -> None:
        if arrived - last[2] > LONG:
            gap = last[2] / 1e9, (arrived - last[2]) / 1e6, number - last[0] - 1, (sent - last[1]) / 1e6
            self._gaps.append(gap)
        self._last = number, sent, arrived

    def close(self) -> None:
        """Nothing is received any more."""
        self._socket.close()

    def figures(self) -> dict[str, Any]:
        """The answer to a line."""
        bins = [(bin_ * BIN / 1e9, count) for bin_, count in sorted(self._bins.items())]
        last = None if self._last is None else (self._last[0], self._last[2] / 1e9)
        counts = {"received": self._received, "reordered": self._reordered}
        return {**counts, "last": last, "gaps": self._gaps, "bins": bins}


def run() -> None:
    """Until standard input ends."""
    receiver = Receiver(json.loads(sys.stdin.readline()))
    print("{}", flush=True)
    while True:
        ready = select.select([sys.stdin], [], [], REST)[0]
        receiver.drain()
        if ready:
            if not sys.stdin.readline():
                return
            print(json.dumps(receiver.figures()), flush=True)


if __name__ == "__main__":
    run()
