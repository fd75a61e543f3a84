"""Clients that open UDP flows to a server, and then let come what comes.

Order: `own` address, first `port` and number of `flows`: one port each; `peer` [address, port]. Each flow gets a
datagram every OPEN_EVERY seconds until one has come back. Each further line, `{}`, is answered with how many flows are
`open`. What comes later is not read: the kernel drops it at a full buffer, and the interface has counted it before.
"""

from __future__ import annotations

import json
import select
import socket
import sys
from typing import Any

OPEN_EVERY = 0.1  # seconds
BUFFER = 4096  # bytes: next to nothing


class Flows:
    """A socket for each."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._peer = tuple(order["peer"])
        self._all = [self._socket(order["own"], order["port"] + i) for i in range(order["flows"])]
        self._waiting = list(self._all)

    def _socket(self, address: str, port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        made.bind((address, port))
        return made

    def open(self) -> None:
        """Once more for those to which nothing has come."""
        self._waiting = [flow for flow in self._waiting if not _has_come(flow)]
        for flow in self._waiting:
            flow.sendto(b"open", self._peer)

    def figures(self) -> dict[str, int]:
        """The answer to a line."""
        return {"open": len(self._all) - len(self._waiting)}


def _has_come(flow: socket.socket) -> bool:
    try:
        flow.recv(1)
    except BlockingIOError:
        return False
    return True


def run() -> None:
    """Until standard input ends."""
    flows = Flows(json.loads(sys.stdin.readline()))
    print("{}", flush=True)
    while True:
        flows.open()
        if select.select([sys.stdin], [], [], OPEN_EVERY)[0]:
            if not sys.stdin.readline():
                return
            print(json.dumps(flows.figures()), flush=True)


if __name__ == "__main__":
    run()
