"""A UDP stream through a subject: how many packets it loses, and how long nothing comes."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from statelessnf.bench.instruments.worker import Worker
from statelessnf.errors import LabError
from statelessnf.namespaces import Namespace

RATE = 10_000  # packets a second
BYTES = 64  # of payload
FIRST_RATE = 100  # until the first one has come
PORT = 7000  # of the server, and of the client
BEGIN_SECONDS = 10.0
BIN = 0.05  # seconds: as receive_worker.py counts
SHORT_MS = 2.0  # gaps up to this are not looked at
SETTLE = BIN + 0.01  # seconds in which nothing more comes: then nothing is on its way, and bins are not shared

Answer = dict[str, Any]


@dataclass(frozen=True)
class Gap:
    """A time without a packet: when it began (s, monotonic), its length in ms, packets lost in it, and how far apart
    in ms the packets at its two ends were sent: as much as its length where the sender itself had paused."""

    at: float
    ms: float
    lost: int
    sent_apart_ms: float

    @property
    def outage_ms(self) -> float:
        """What of it is not the sender's own pause: known where nothing was lost in it, else all of it counts."""
        return self.ms if self.lost else max(0.0, self.ms - self.sent_apart_ms)


@dataclass(frozen=True)
class StreamFigures:
    """One stream from start to end. `pause_ms`: the longest of the sender itself, hence how precise gaps are.

    `bins`: [when (s, monotonic), packets that came in the 50 ms from then on].
    """

    rate: int
    sent: int
    received: int
    reordered: int
    missed: int
    pause_ms: float
    gaps: tuple[Gap, ...]
    bins: tuple[tuple[float, int], ...]

    @property
    def lost(self) -> int:
        """Packets that the sender's kernel took and that never came."""
        return self.sent - self.received

    def blackout_ms(self, since: float = 0.0, until: float = float("inf")) -> float:
        """The longest time without a packet (Gap.outage_ms) of those that ended after `since` and began before `until`.

        0 where there was none above SHORT_MS.
        """
        return max(
            (gap.outage_ms for gap in self.gaps if since < gap.at + gap.ms / 1000 and gap.at < until), default=0.0
        )


@dataclass(frozen=True)
class Ends:
    """Whom a stream connects: the clients' and the server's namespace and address. `down`: the server sends."""

    clients: Namespace
    client: str
    server: Namespace
    address: str
    down: bool = False


class Stream:
    """A stream that runs from `begin` to `end`; its two processes are on `stack`. Raises LabError."""

    def __init__(self, stack: ExitStack, ends: Ends, folder: Path, rate: int = RATE) -> None:
        client, server = (ends.client, PORT), (ends.address, PORT)
        sender, receiver = (ends.server, ends.clients) if ends.down else (ends.clients, ends.server)
        own, peer = (server, client) if ends.down else (client, server)
        opens = server if ends.down else None
        self._rate = rate
        self._receiver = Worker(stack, receiver, "receive_worker", folder, {"own": peer, "open": opens})
        self._sender = Worker(stack, sender, "send_worker", folder, {"own": own, "peers": [peer], "bytes": BYTES})

    def begin(self) -> None:
        """From now on; returns once packets come through. Raises LabError if none does."""
        deadline = time.monotonic() + BEGIN_SECONDS
        self._sender.ask({"rate": FIRST_RATE})
        while not self._receiver.ask({})["received"]:
            if time.monotonic() > deadline:
                raise LabError(f"nothing of a UDP stream came through in {BEGIN_SECONDS:g} s")
            time.sleep(1 / FIRST_RATE)
        self._before = self._stop()
        self._began = time.monotonic()
        self._sender.ask({"rate": self._rate})

    def end(self) -> StreamFigures:
        """Stop sending; everything since `begin`, once nothing is on its way any more."""
        (sent, taken), (sent_before, taken_before) = self._stop(), self._before
        return StreamFigures(
            rate=self._rate,
            sent=sent["sent"] - sent_before["sent"],
            received=taken["received"] - taken_before["received"],
            reordered=taken["reordered"] - taken_before["reordered"],
            missed=sent["missed"] - sent_before["missed"],
            pause_ms=sent["pause"] * 1000,
            gaps=_gaps(sent, taken, self._began),
            bins=tuple((when, count) for when, count in taken["bins"] if when + BIN > self._began),
        )

    def _stop(self) -> tuple[Answer, Answer]:
        """Sending ends; what both sides say once nothing comes any more."""
        sent, taken = self._sender.ask({"rate": 0}), self._receiver.ask({})
        while True:
            time.sleep(SETTLE)
            before, taken = taken, self._receiver.ask({})
            if taken["received"] == before["received"]:
                return sent, taken


def _gaps(sent: Answer, taken: Answer, began: float) -> tuple[Gap, ...]:
    """Those since `began`, and the time from the last packet that came until sending ended: a blackout may not end."""
    number, at = taken["last"]
    tail = (sent["time"] - at) * 1000
    gaps = [Gap(*fields) for fields in taken["gaps"]]
    gaps.append(Gap(at, tail, sent["sent"] - number - 1, tail))
    return tuple(clipped for gap in gaps if (clipped := _clipped(gap, began)).ms > SHORT_MS)


def _clipped(gap: Gap, began: float) -> Gap:
    """What of it was after `began`."""
    before = max(0.0, began - gap.at)
    return Gap(gap.at + before, gap.ms - before * 1000, gap.lost, gap.sent_apart_ms)
