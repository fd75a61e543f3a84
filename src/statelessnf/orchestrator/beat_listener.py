"""Listens to heartbeats: which instance was heard when, and what did it say?

    listener = BeatListener(heard, knows)              in a running event loop
    with listener.on("127.0.0.1:0") as address:        as many as there are addresses
        listener.drain()                               before anybody is judged by what has been heard
        listener.expect({token: pipes}), oldest()      whether anybody need be judged at all: one question for all pipes

`heard` gets what is new, as it comes: a pipe's first beat, one with other flags, one after a silence, and else one in
`PERIOD` of each pipe. Of all others only the time is noted; `drain` calls `heard` for each pipe that was heard since,
with that time and the last beat that was read. So most beats cost this process nothing where the kernel helps
(beat_filter.py), and little elsewhere. Whatever is no beat, or nobody's, is counted by reason and has no effect.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf

import numpy as np

from statelessnf.errors import OrchestratorError
from statelessnf.orchestrator.beat_filter import HEADER, BeatFilter
from statelessnf.orchestrator.beats import SIZE, Beat, decode
from statelessnf.orchestrator.endpoint import endpoint

PERIOD = 0.2  # seconds
SILENCE = 0.02  # seconds after which a beat is news
PAUSE = 0.003  # seconds: what comes within is taken by one wake-up
SLOTS = 16_384  # pipes
BUFFER = 4 << 20  # bytes of a socket: a quarter of a second of 20,000 beats
MOST = 8192  # datagrams at once, so that a flood leaves time for everything else
_NS = 1_000_000_000

Heard = Callable[[bytes, Beat, float], None]  # token, beat, s (monotonic)
Knows = Callable[[bytes], bool]  # whether a token is an instance's


@dataclass(slots=True)
class _Pipe:
    """`header`: how its beats begin; `beat`: the last one that was read."""

    slot: int
    header: bytes
    beat: Beat


class BeatListener:
    """Used by the thread of the event loop; nothing is heard outside `on`."""

    def __init__(self, heard: Heard, knows: Knows, *, helped: bool = True) -> None:
        """`helped`: by the kernel, if it lets us."""
        self.refused: Counter[str] = Counter()  # by reason: invalid, unknown, old, full
        self._heard, self._knows, self._wanted = heard, knows, helped
        self._sockets: list[socket.socket] = []
        self._begin(None)

    def _begin(self, kernel: BeatFilter | None) -> None:
        """Nobody has been heard yet."""
        self._filter = kernel
        self._table = np.zeros((SLOTS, 2), np.uint64) if kernel is None else kernel.table
        self._told = np.zeros(SLOTS, np.uint64)  # time of the last call of `heard`
        self._expected = self._others = np.zeros(0, np.intp)  # slots of pipes that are to be heard, and of all others
        self._pipes: dict[tuple[bytes, int], _Pipe] = {}
        self._by_header: dict[bytes, _Pipe] = {}
        self._by_slot: dict[int, _Pipe] = {}
        self._free = list(range(SLOTS - 1, -1, -1))
        self._used = 0  # slots from this one on have never been anybody's

    @property
    def helped(self) -> bool:
        """The kernel sorts out beats that say nothing new."""
        return self._filter is not None

    @contextmanager
    def on(self, where: str) -> Iterator[str]:
        """Listens on ADDRESS:PORT (0: any) and gives the real one. Raises OrchestratorError: it is taken, or not ours.

        Once the last address is given up everything is forgotten.
        """
        loop, opened = asyncio.get_running_loop(), _bound(where)
        pauses: list[asyncio.TimerHandle] = []

        def readable() -> None:
            loop.remove_reader(opened)
            pauses[:] = [loop.call_later(PAUSE, resume)]  # whatever `heard` raises
            self._receive(opened)

        def resume() -> None:
            loop.add_reader(opened, readable)

        with opened:
            try:
                if not self._sockets:
                    self._begin(_filter() if self._wanted else None)
                self._sockets.append(opened)
                if self._filter is not None:
                    self._filter.attach(opened)
                resume()
                host, port = opened.getsockname()[:2]
                yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            finally:
                for pause in pauses:
                    pause.cancel()
                loop.remove_reader(opened)
                self._leave(opened)

    def drain(self) -> None:
        """Tells `heard` of everything that has come."""
        for opened in self._sockets:
            self._receive(opened)
        times, told = self._table[: self._used, 0].copy(), self._told[: self._used]
        changed = np.flatnonzero(times != told)
        told[changed] = times[changed]
        for slot, at in zip(changed.tolist(), (times[changed] / _NS).tolist(), strict=True):
            pipe = self._by_slot.get(slot)
            if pipe is not None:  # a call before may have forgotten it
                self._heard(pipe.beat.token, pipe.beat, at)

    def expect(self, pipes: Mapping[bytes, int]) -> bool:
        """`oldest` is about these instances, by token, with so many pipes each. False: one of them was never heard."""
        mine = {pipe.slot for (token, number), pipe in self._pipes.items() if number < pipes.get(token, 0)}
        self._expected = np.fromiter(mine, np.intp)
        self._others = np.fromiter((slot for slot in self._by_slot if slot not in mine), np.intp)
        return len(mine) == sum(pipes.values())

    def oldest(self) -> float | None:
        """None of the expected pipes has been heard last before that (s, monotonic; infinity: there is none).

        None: somebody else was heard, too, of whom `drain` tells.
        """
        for opened in self._sockets:
            self._receive(opened)
        times = self._table[:, 0]
        if self._others.size and (times.take(self._others) != self._told.take(self._others)).any():
            return None
        return int(times.take(self._expected).min()) / _NS if self._expected.size else inf

    def _leave(self, opened: socket.socket) -> None:
        if opened in self._sockets:
            self._sockets.remove(opened)
        if not self._sockets and self._filter is not None:
            self._filter.close()
            self._begin(None)

    def _receive(self, opened: socket.socket) -> None:
        now, receive = time.monotonic_ns(), opened.recv
        with suppress(BlockingIOError):
            for _ in range(MOST):
                self._take(receive(SIZE + 1), now)

    def _take(self, datagram: bytes, now: int) -> None:
        header = datagram[:HEADER]
        pipe = self._by_header.get(header)
        if pipe is not None and self._filter is None and len(datagram) == SIZE and not self._is_news(pipe, now):
            return
        beat = decode(datagram)
        if beat is None:
            self.refused["invalid"] += 1
        elif not self._knows(beat.token):
            self.refused["unknown"] += 1
        else:
            self._accept(beat, header, now)

    def _is_news(self, pipe: _Pipe, now: int) -> bool:
        """Does what the filter would."""
        row = self._table[pipe.slot]
        before, due = row.tolist()
        row[0] = now
        if now < due and now - before < SILENCE * _NS:
            return False
        row[1] = now + int(PERIOD * _NS)
        return True

    def _accept(self, beat: Beat, header: bytes, now: int) -> None:
        pipe = self._pipes.get((beat.token, beat.pipe)) or self._added(beat)
        if pipe is None:
            self.refused["full"] += 1
            return
        if beat.sequence < pipe.beat.sequence:
            self.refused["old"] += 1
            return
        if pipe.header != header:
            self._watch(pipe, header)
            self._table[pipe.slot, 0] = now
        pipe.beat = beat
        self._tell(pipe)

    def _tell(self, pipe: _Pipe) -> None:
        at = int(self._table[pipe.slot, 0])
        self._told[pipe.slot] = at
        self._heard(pipe.beat.token, pipe.beat, at / _NS)

    def _added(self, beat: Beat) -> _Pipe | None:
        """One more; pipes of instances that are gone make room. None: there is none."""
        for gone in [key for key in self._pipes if not self._knows(key[0])]:
            self._remove(self._pipes.pop(gone))
        if not self._free:
            return None
        pipe = _Pipe(self._free.pop(), b"", beat)
        self._used = max(self._used, pipe.slot + 1)
        self._pipes[beat.token, beat.pipe] = self._by_slot[pipe.slot] = pipe
        self._others = np.append(self._others, pipe.slot)
        return pipe

    def _remove(self, pipe: _Pipe) -> None:
        self._watch(pipe, b"")
        del self._by_slot[pipe.slot]
        self._table[pipe.slot] = self._told[pipe.slot] = 0
        self._free.append(pipe.slot)

    def _watch(self, pipe: _Pipe, header: bytes) -> None:
        """Beats that begin so are the pipe's, no others."""
        if pipe.header:
            del self._by_header[pipe.header]
            if self._filter is not None:
                self._filter.ignore(pipe.header)
        pipe.header = header
        if header:
            self._by_header[header] = pipe
            if self._filter is not None:
                self._filter.watch(header, pipe.slot)


def _filter() -> BeatFilter | None:
    """None: no permission, or another kernel; it is slower then, and that is all."""
    try:
        return BeatFilter(SLOTS, int(PERIOD * _NS), int(SILENCE * _NS))
    except OSError:
        return None


def _bound(where: str) -> socket.socket:
    host, port = endpoint(where)
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        opened.setblocking(False)
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        do = "choose another address or port under orchestrator.beats"
        raise OrchestratorError(f"cannot listen to heartbeats: {error.strerror}", where, do) from error
    return opened
