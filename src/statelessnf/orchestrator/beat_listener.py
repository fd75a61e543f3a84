"""Listens to heartbeats: which instance was heard when, and what did it say?

    listener = BeatListener(heard, knows)              in a running event loop
    with listener.on("127.0.0.1:0") as address:        as many as there are addresses
        listener.drain()                               before anybody is judged by what has been heard
        listener.expect({token: pipes}), oldest()      whether anybody need be judged at all: one question for all pipes

`heard` gets what is new, as it comes: a pipe's first beat, one with other flags, one after a silence. Of all others
the time and the counts are noted (beat_table.py); `drain` calls `heard` with them for each pipe that was heard since.
So most beats cost this process nothing where the kernel helps (beat_filter.py), and little elsewhere. Whatever is no
beat, or nobody's, or older than what was heard, is counted by reason and has no effect.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np

from statelessnf.errors import OrchestratorError
from statelessnf.orchestrator.beat_filter import BeatFilter
from statelessnf.orchestrator.beat_program import COUNTS, HEADER
from statelessnf.orchestrator.beat_table import BeatTable
from statelessnf.orchestrator.beats import SIZE, Beat, decode
from statelessnf.orchestrator.endpoint import endpoint

SILENCE = 0.02  # seconds after which a beat is news
PAUSE = 0.003  # seconds: what comes within is taken by one wake-up
SLOTS = 16_384  # pipes
BUFFER = 4 << 20  # bytes of a socket: a quarter of a second of 20,000 beats
GUARDED = 16  # pipes that guard each other: fewer beat too seldom for that
MOST = 8192  # datagrams at once, so that a flood leaves time for everything else
FIRST_COUNT = 4  # fields of a beat before its sequence number: the same in each one with the same header
_NS = 1_000_000_000

Heard = Callable[[bytes, Beat, float], None]  # token, beat, s (monotonic)
Knows = Callable[[bytes], bool]  # whether a token is an instance's


@dataclass(slots=True)
class _Pipe:
    """`header`: how its beats begin; `beat`: the newest one that was told."""

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
        if kernel is None:
            self._table = BeatTable(np.zeros(SLOTS, np.uint64), np.zeros((SLOTS, COUNTS), np.uint64))
        else:
            self._table = BeatTable(kernel.times, kernel.counts)
        self._pipes: dict[tuple[bytes, int], _Pipe] = {}
        self._by_header: dict[bytes, _Pipe] = {}
        self._by_slot: dict[int, _Pipe] = {}
        self._free = list(range(SLOTS - 1, -1, -1))

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
        for slot, counts, at in self._table.changed():
            pipe = self._by_slot.get(slot)
            if pipe is not None:  # a call before may have forgotten it
                self._tell(pipe, counts, at)

    def expect(self, pipes: Mapping[bytes, int]) -> bool:
        """`oldest` is about these instances, by token, with so many pipes each. False: one of them was never heard."""
        self._remove_gone()
        if self._filter is not None:
            self._filter.guard(0, 0)
        mine = {pipe.slot for (token, number), pipe in self._pipes.items() if number < pipes.get(token, 0)}
        self._table.expect(mine, (slot for slot in self._by_slot if slot not in mine))
        return len(mine) == sum(pipes.values())

    def oldest(self) -> float | None:
        """None of the expected pipes has been heard last before that (s, monotonic; infinity: there is none).

        None: somebody else was heard, too, of whom `drain` tells.
        """
        if self._filter is None:  # which else has noted what waits to be read
            for opened in self._sockets:
                self._receive(opened)
        return self._table.oldest()

    def guard(self, limit: float) -> bool:
        """True: one of the expected pipes that is silent for `limit` (s) is found by the others' beats, within a beat.

        Then `heard` is called for others, until `expect` is. False: nobody looks for silence but who asks `oldest`.
        """
        if self._filter is None:
            return False
        able = self._table.calm >= GUARDED
        self._filter.guard(int(limit * _NS) if able else 0, self._table.used)
        return able

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
        if pipe is not None and self._filter is None and self._is_no_news(pipe, datagram, now):
            return
        beat = decode(datagram)
        if beat is None:
            self.refused["invalid"] += 1
        elif not self._knows(beat.token):
            self.refused["unknown"] += 1
        else:
            self._accept(beat, datagram, now)

    def _is_no_news(self, pipe: _Pipe, datagram: bytes, now: int) -> bool:
        """Does what the filter would."""
        before, sequence = self._table.heard(pipe.slot), int.from_bytes(datagram[HEADER : HEADER + 8], "little")
        if len(datagram) != SIZE or sequence < self._table.sequence(pipe.slot):
            return False
        self._table.note(pipe.slot, datagram, now)
        return now - before <= SILENCE * _NS

    def _accept(self, beat: Beat, datagram: bytes, now: int) -> None:
        pipe = self._pipes.get((beat.token, beat.pipe)) or self._added(beat)
        if pipe is None:
            self.refused["full"] += 1
            return
        other, newest = pipe.header != datagram[:HEADER], self._table.sequence(pipe.slot)
        if beat.sequence < (newest if other else pipe.beat.sequence):
            self.refused["old"] += 1
            return
        if other or beat.sequence > newest:
            self._table.note(pipe.slot, datagram, now)
        if other:
            pipe.beat = beat
            self._watch(pipe, datagram[:HEADER])
        self._tell(pipe, *self._table.told(pipe.slot))

    def _tell(self, pipe: _Pipe, counts: list[int], at: float) -> None:
        pipe.beat = Beat._make((*pipe.beat[:FIRST_COUNT], *counts))
        self._heard(pipe.beat.token, pipe.beat, at)

    def _added(self, beat: Beat) -> _Pipe | None:
        """One more; pipes of instances that are gone make room. None: there is none."""
        self._remove_gone()
        if not self._free:
            return None
        pipe = _Pipe(self._free.pop(), b"", beat)
        self._table.begin(pipe.slot)
        self._pipes[beat.token, beat.pipe] = self._by_slot[pipe.slot] = pipe
        return pipe

    def _remove_gone(self) -> None:
        for gone in [key for key in self._pipes if not self._knows(key[0])]:
            self._remove(self._pipes.pop(gone))

    def _remove(self, pipe: _Pipe) -> None:
        self._watch(pipe, b"")
        del self._by_slot[pipe.slot]
        self._table.clear(pipe.slot)
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
        return BeatFilter(SLOTS, int(SILENCE * _NS))
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
