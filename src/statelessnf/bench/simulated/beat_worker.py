"""Sends the heartbeats of many instances of one pipe each, as evenly as they would.

Order: `target` [address, port], `tokens` (hex), `interval` in seconds. It beats from then on. A further line is
answered: `{"trials": N, "silence": S, "every": E}`: N times, every E seconds, the next instance is silent for S; the
answer, when all is over, has `silences`: [number of the instance, s (monotonic) of its last beat before].
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

from statelessnf.orchestrator.beats import ADMITTING, AVAILABLE, Beat, encode

TICK = 0.0005  # seconds: instances whose beats are due within it beat together
_SEQUENCE = slice(32, 40)  # of a datagram; what follows is its time


@dataclass
class _Trials:
    """Who is silent from when on."""

    count: int
    silence: float
    every: float
    began: float

    def silent(self, now: float) -> int:
        """The instance that is to be silent now; -1: none."""
        number, since = divmod(now - self.began, self.every)
        return int(number) if number < self.count and since < self.silence else -1

    def over(self, now: float) -> bool:
        """Everybody beats again."""
        return now - self.began > self.count * self.every


class Beater:
    """One socket, and who has beaten when."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(tuple(order["target"]))
        flags, nothing = ADMITTING | AVAILABLE, [0] * 10
        beats = [Beat(flags, 0, 1, bytes.fromhex(token), 1, 1, *nothing) for token in order["tokens"]]
        self._datagrams = [bytearray(encode(beat)) for beat in beats]
        self._interval, self._next, self._turn = order["interval"], 0, 1
        self._began = time.monotonic()
        self._last = [self._began] * len(beats)
        self._trials: _Trials | None = None
        self._silences: dict[int, float] = {}

    def beat(self) -> None:
        """All that are due."""
        now = time.monotonic()
        silent = -1 if self._trials is None else self._trials.silent(now)
        if silent >= 0:
            self._silences.setdefault(silent, self._last[silent])
        count = len(self._datagrams)
        while self._began + (self._turn + self._next / count) * self._interval <= now:
            if self._next != silent:
                self._send(self._next, now)
            self._next += 1
            if self._next == count:
                self._turn, self._next = self._turn + 1, 0

    def _send(self, number: int, now: float) -> None:
        datagram = self._datagrams[number]
        datagram[_SEQUENCE] = self._turn.to_bytes(8, sys.byteorder)
        datagram[40:48] = int(now * 1e9).to_bytes(8, sys.byteorder)
        self._socket.send(datagram)
        self._last[number] = time.monotonic()

    def obey(self, line: dict[str, Any]) -> None:
        """A line of the order."""
        self._silences.clear()
        if "trials" in line:
            self._trials = _Trials(line["trials"], line["silence"], line["every"], time.monotonic())

    def answer(self) -> dict[str, Any] | None:
        """To the last line; None: not yet."""
        if self._trials is not None and not self._trials.over(time.monotonic()):
            return None
        self._trials = None
        return {"silences": list(self._silences.items())}


def run() -> None:
    """Until standard input ends."""
    beater, owed = Beater(json.loads(sys.stdin.readline())), False
    print("{}", flush=True)
    while True:
        if select.select([sys.stdin], [], [], TICK)[0]:
            if not (line := sys.stdin.readline()):
                return
            beater.obey(json.loads(line))
            owed = True
        beater.beat()
        if owed and (answer := beater.answer()) is not None:
            print(json.dumps(answer), flush=True)
            owed = False


if __name__ == "__main__":
    run()
