"""A capture through several pipes that share one store, and out in the order of the input.

The clock is the capture's. A packet of a flow enters only after the flow's previous packet has left or was dropped, as
causality has it on a wire; so the output is the same however the packets are split over the instances (protocol.md,
"By replay"). Up to `WINDOW` packets of different flows are under way at once; memory stays bounded by that.
Packets that the function generates (RST, ICMP unreachable) are written behind the one that caused them, with its time.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from statelessnf.capture import Captured
from statelessnf.ordering import Ordering
from statelessnf.routing import Route

WINDOW = 1024  # packets that are read and not yet written
BURST = 32  # packets between two turns of the pipes
MILLISECOND = 1_000_000  # ns
GENERATED = (1 << 64) - 1  # token of what the engine made itself

Sink = Callable[[int, bytes], None]  # time in ns, frame


class Pipe(Protocol):
    """What a replay needs of an engine pipe (statelessnf/_engine.pyi)."""

    def inject(self, frame: bytes, side: int, token: int) -> bool: ...
    def set_clock(self, ms: int) -> None: ...
    def step(self) -> int: ...
    def waiting(self) -> int: ...
    def collect(self) -> list[tuple[int, int, bytes]]: ...
    def dropped(self) -> list[tuple[int, str, int, bytes]]: ...


class Routing(Protocol):
    """statelessnf.routing.Router."""

    def route(self, frame: bytes, token: int) -> Route: ...
    def flow(self, frame: bytes) -> bytes | None: ...


@dataclass(slots=True)
class _Packet:
    time: int
    frame: bytes  # as captured
    side: int
    pipe: int
    finished: bool = False
    leaves: bytes | None = None  # as forwarded
    generated: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Totals:
    """What a replay counted itself; everything else is in the pipes' statistics."""

    packets: int = 0
    forwarded: int = 0
    generated: int = 0
    dropped: int = 0
    oversized: int = 0  # of those dropped, the ones that no pipe has room for


class Replay:
    """One run. `routing` says where each packet goes; forwarded and dropped frames go to the two sinks.

    Frames longer than `largest` bytes are dropped: the pipes have no room for them.
    """

    def __init__(self, pipes: Sequence[Pipe], routing: Routing, out: Sink, drops: Sink | None, largest: int) -> None:
        self.totals = Totals()
        self._largest = largest
        self._pipes, self._routing, self._out, self._drops = pipes, routing, out, drops
        self._ordering = Ordering()
        self._packets: dict[int, _Packet] = {}  # read and not yet written
        self._ready: list[list[int]] = [[] for _ in pipes]  # may enter, by pipe; heaps: the oldest first
        self._next = 0  # token of the next packet to write

    def run(self, capture: Iterable[Captured]) -> Totals:
        """Everything in `capture`; returns when the last packet has left or was dropped."""
        for token, packet in enumerate(capture):
            self._enter(token, packet)
            if token % BURST == BURST - 1:
                self._turn()
            while len(self._packets) >= WINDOW:
                self._turn()
        while self._packets:
            self._turn()
        return self.totals

    def _enter(self, token: int, packet: Captured) -> None:
        if len(packet.frame) > self._largest:
            self._refuse(token, packet)
            return
        route = self._routing.route(packet.frame, token)
        self._packets[token] = _Packet(packet.time, packet.frame, route.side, route.pipe)
        self.totals.packets += 1
        if self._ordering.add(token, route.keys):
            heapq.heappush(self._ready[route.pipe], token)

    def _refuse(self, token: int, packet: Captured) -> None:
        self._packets[token] = _Packet(packet.time, packet.frame, 0, 0, finished=True)
        self.totals.packets += 1
        self.totals.oversized += 1
        self._write()

    def _turn(self) -> None:
        """One turn of every pipe; gives the processor away when nothing moved (the store may need it)."""
        moved = False
        for number, pipe in enumerate(self._pipes):
            ready = self._ready[number]
            self._step(pipe, ready)
            while ready:
                self._step(pipe, ready)
            moved |= self._gather(pipe)
        if not moved:
            os.sched_yield()

    def _step(self, pipe: Pipe, ready: list[int]) -> None:
        """One step of a pipe, with the packets that arrived in the millisecond of the oldest ready one."""
        if ready and not pipe.waiting():
            clock = self._packets[ready[0]].time // MILLISECOND
            pipe.set_clock(max(clock, 1))  # 0 stands for the machine's own clock
            while ready and self._packets[ready[0]].time // MILLISECOND == clock:
                packet = self._packets[ready[0]]
                if not pipe.inject(packet.frame, packet.side, ready[0]):
                    break  # full: the step makes room
                heapq.heappop(ready)
        pipe.step()

    def _gather(self, pipe: Pipe) -> bool:
        """Takes what the pipe has done with packets. True if there was any."""
        sent, dropped = pipe.collect(), pipe.dropped()
        for token, _, frame in sent:
            if token == GENERATED:
                self._packets[self._cause(frame)].generated.append(frame)
        for token, _, frame in sent:
            if token != GENERATED:
                self._finish(token, frame)
        for token, _, _, _ in dropped:
            self._finish(token, None)
        if sent or dropped:
            self._write()
        return bool(sent or dropped)

    def _cause(self, frame: bytes) -> int:
        """Whose packet the engine answered: of a flow only one is under way, and its answer comes with its end."""
        key = self._routing.flow(frame)
        token = None if key is None else self._ordering.first(key)
        return self._next if token is None else token

    def _finish(self, token: int, leaves: bytes | None) -> None:
        packet = self._packets[token]
        packet.finished, packet.leaves = True, leaves
        for other in self._ordering.done(token):
            heapq.heappush(self._ready[self._packets[other].pipe], other)

    def _drop(self, packet: _Packet) -> None:
        self.totals.dropped += 1
        if self._drops is not None:
            self._drops(packet.time, packet.frame)

    def _write(self) -> None:
        while (packet := self._packets.get(self._next)) is not None and packet.finished:
            if packet.leaves is not None:
                self._out(packet.time, packet.leaves)
                self.totals.forwarded += 1
            else:
                self._drop(packet)
            for frame in packet.generated:
                self._out(packet.time, frame)
                self.totals.generated += 1
            del self._packets[self._next]
            self._next += 1
