"""Sends numbered UDP datagrams at a steady rate.

Order: `own` [address, port], `peers` [[address, port], …] that are served in turn, `bytes` of payload. Then
`{"rate": N}`: N datagrams a second from now on; `{}`: no change. Either is answered with the totals so far: `sent`,
`missed` (could not be sent in time), the longest `pause` in seconds since the line before, and the `time`.

A datagram begins with its number, counted from 0, and the time it was handed to the kernel (ns, realtime clock, as
the receiver's kernel has it); 8 bytes each. What is due goes out every TICK; the process has real-time priority where
it may, and sleeps in between.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Any

from statelessnf.bench.sendmmsg import Messages, ipv4_name

TICK = 0.001  # seconds
BEHIND = 0.02  # seconds that are made up for after a pause
PRIORITY = 10  # of SCHED_FIFO
LEAST_BATCH = 512  # datagrams in one system call
HEAD = struct.Struct("!QQ")


class Sender:
    """One socket, the memory of one batch, and how many datagrams are owed."""

    def __init__(self, order: dict[str, Any]) -> None:
        names = [ipv4_name(*peer) for peer in order["peers"]]
        self._batch = -(-LEAST_BATCH // len(names)) * len(names)  # a whole number of turns
        self._length = max(order["bytes"], HEAD.size)
        self._memory = bytearray(self._batch * self._length)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._messages = Messages(base, self._length, self._batch, names)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(tuple(order["own"]))
        self._rate = self._owed = self._pause = 0.0
        self._sent = self._missed = 0
        self._last = time.monotonic()

    def tick(self) -> None:
        """Send what is due."""
        now = time.monotonic()
        elapsed, self._last = now - self._last, now
        self._pause = max(self._pause, elapsed)
        self._owed += elapsed * self._rate
        if self._owed > (most := max(self._rate * BEHIND, 1.0)):
            self._missed += int(self._owed - most)
            self._owed = most
        self._send(int(self._owed))

    def _send(self, count: int) -> None:
        self._owed -= count
        while count > 0:
            first = self._sent % self._batch
            part = min(count, self._batch - first)
            self._number(first, part)
            taken = self._messages.send(self._socket, first, part)
            self._sent += taken
            if taken < part:  # no room in the kernel: it is not tried again, and was never sent
                self._missed += count - taken
                return
            count -= part

    def _number(self, first: int, count: int) -> None:
        memory, length, number, now = self._memory, self._length, self._sent, time.time_ns()
        for i in range(count):
            HEAD.pack_into(memory, (first + i) * length, number + i, now)

    def obey(self, line: dict[str, Any]) -> dict[str, float]:
        """What the line says; the answer to it."""
        self._rate = float(line.get("rate", self._rate))
        answer = {"sent": self._sent, "missed": self._missed, "pause": self._pause, "time": time.monotonic()}
        self._pause = 0.0
        return answer

    def close(self) -> None:
        """Nothing is sent any more."""
        self._socket.close()


def hurry() -> None:
    """Real-time priority for this process, where it is permitted."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))


def run() -> None:
    """Until standard input ends."""
    sender = Sender(json.loads(sys.stdin.readline()))
    hurry()
    print("{}", flush=True)
    while True:
        sender.tick()
        if select.select([sys.stdin], [], [], TICK)[0]:
            line = sys.stdin.readline()
            if not line:
                return
            print(json.dumps(sender.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    run()
