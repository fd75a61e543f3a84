"""Visitors of a web server: each connects, asks for a path, reads all of the answer, closes, and comes again.

Order: `address` and `port` of the server. Each further line, `seconds`, `parallel` visitors, `path` and a `timeout` in
seconds, makes one slice, and is answered with it: `seconds` that it took, body and header `bytes`, `visits` that ended
as they should, `failed` {kind: count}, `connect_ms` and `answer_ms` (from the first SYN to the connection, and to the
first byte, of visits begun in the slice; in order of time), and `unfinished` [ms]: how old those were that the slice's
end cut off.
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
import sys
import time
from collections import Counter
from typing import Any

BUFFER = 1 << 20
REST = 0.05  # seconds between two looks for visits that have timed out
_RESET = struct.pack("ii", 1, 0)  # struct linger: close resets the connection


class Visit:
    """One connection. `kind`: None while it goes on, then `ok` or what went wrong."""

    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.kind: str | None = None
        self.connected: float | None = None
        self.answered: float | None = None
        self._request = request
        self.began = time.monotonic()
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(address)

    def write(self) -> None:
        """The connection is there, or has failed."""
        if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.kind = "refused"
            return
        self.connected = time.monotonic()
        self.socket.send(self._request)

    def read(self, buffer: bytearray) -> int:
        """Bytes that have come."""
        try:
            size = self.socket.recv_into(buffer)
        except OSError:
            self.kind = "reset"
            return 0
        if size == 0:
            self.kind = "ok" if self.answered is not None else "empty"
        elif self.answered is None:
            self.answered = time.monotonic()
            self.kind = None if buffer.startswith(b"HTTP/1.1 200") else "status"
        return size

    def end(self) -> None:
        """Close; a connection that is not at its end is reset."""
        if self.kind != "ok":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.socket.close()


class Slice:
    """One slice: visitors that come again until it is over."""

    def __init__(self, address: tuple[str, int], order: dict[str, Any]) -> None:
        self._address, self._order = address, order
        self._request = f"GET {order['path']} HTTP/1.0\r\n\r\n".encode()
        self._selector = selectors.EpollSelector()
        self._running: set[Visit] = set()
        self._buffer = bytearray(BUFFER)
        self._ended: list[Visit] = []
        self._bytes = 0

    def run(self) -> dict[str, Any]:
        """The answer to a line."""
        began = time.monotonic()
        until = began + self._order["seconds"]
        for _ in range(self._order["parallel"]):
            self._begin()
        while (now := time.monotonic()) < until:
            for key, events in self._selector.select(min(REST, until - now)):
                self._serve(key.data, events)
            self._end_old(time.monotonic() - self._order["timeout"])
        return self._answer(began)

    def _begin(self) -> None:
        visit = Visit(self._address, self._request)
        self._running.add(visit)
        self._selector.register(visit.socket, selectors.EVENT_WRITE, visit)

    def _serve(self, visit: Visit, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            visit.write()
            self._selector.modify(visit.socket, selectors.EVENT_READ, visit)
        else:
            self._bytes += visit.read(self._buffer)
        if visit.kind is not None:
            self._end(visit)
            self._begin()

    def _end_old(self, limit: float) -> None:
        for visit in [visit for visit in self._running if visit.began < limit]:
            visit.kind = "timeout"
            self._end(visit)
            self._begin()

    def _end(self, visit: Visit) -> None:
        self._selector.unregister(visit.socket)
        self._running.remove(visit)
        visit.end()
        self._ended.append(visit)

    def _answer(self, began: float) -> dict[str, Any]:
        now = time.monotonic()
        kinds = Counter(visit.kind for visit in self._ended)
        unfinished = [(now - visit.began) * 1e3 for visit in self._running]
        every = [*self._ended, *self._running]
        for visit in self._running:
            visit.end()
        self._selector.close()
        return {
            "seconds": now - began,
            "bytes": self._bytes,
            "visits": kinds.pop("ok", 0),
            "failed": kinds,
            "connect_ms": [(visit.connected - visit.began) * 1e3 for visit in every if visit.connected is not None],
            "answer_ms": [(visit.answered - visit.began) * 1e3 for visit in every if visit.answered is not None],
            "unfinished": unfinished,
        }


def run() -> None:
    """Until standard input ends."""
    order = json.loads(sys.stdin.readline())
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps(Slice((order["address"], order["port"]), json.loads(line)).run()), flush=True)


if __name__ == "__main__":
    run()
