"""A capture through several pipes that share one store, and out in the order of the input.

The clock is the capture's. A packet of a flow enters only after the flow's previous packet has left or was dropped, as
causality has it on a wire; so the output is the same however the packets are split over the instances (protocol.md,
"By replay"). Up to `WINDOW` packets of different flows are under way at once; memory stays bounded by that.
Packets that the function generates (RST, ICMP unreachable) are written behind the one that caused them, with its time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from statelessnf.capture import Captured
from statelessnf.ordering import Ordering
from statelessnf.routing import Route

WINDOW = 4096  # packets that are read and not yet written
BURST = 32  # packets between two turns of the pipes
GENERATED = (1 << 64) - 1  # token of what the engine made itself

Sink = Callable[[int, bytes], None]  # time in ns, frame


class Pipe(Protocol):
    """What a replay needs of an engine pipe (statelessnf/_engine.pyi)."""

    def inject(self, frame: bytes, side: int, token: int) -> bool: ...
    def set_clock(self, ms: int) -> None: ...
    def step(self) -> int: ...
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
    route: Route
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


class Replay:
    """One run. `routing` says where each packet goes; forwarded and dropped frames go to the two sinks."""

    def __init__(self, pipes: Sequence[Pipe], routing: Routing, out: Sink, drops: Sink | None) -> None:
        self.totals = Totals()
        self._pipes, self._routing, self._out, self._drops = pipes, routing, out, drops
        self._ordering = Ordering()
        self._packets: dict[int, _Packet] = {}  # read and not yet written
        self._ready: deque[int] = deque()  # may enter
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
        route = self._routing.route(packet.frame, token)
        self._packets[token] = _Packet(packet.time, packet.frame, route)
        self.totals.packets += 1
        if self._ordering.add(token, route.keys):
            self._ready.append(token)

    def _turn(self) -> None:
        """One turn of every pipe; gives the processor away when nothing moved (the store may need it)."""
        self._inject()
        moved = False
        for pipe in self._pipes:
            pipe.step()
            moved |= self._gather(pipe)
        if not moved:
            os.sched_yield()

    def _inject(self) -> None:
        while self._ready:
            token = self._ready[0]
            packet = self._packets[token]
            pipe = self._pipes[packet.route.pipe]
            pipe.set_clock(packet.time // 1_000_000)
            if not pipe.inject(packet.frame, packet.route.side, token):
                return  # full: the next turn makes room
            self._ready.popleft()

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
        self._ready.extend(self._ordering.done(token))

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
