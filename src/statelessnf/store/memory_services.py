"""Store services within the process: for `store = "memory"`, whose flows live and die with it, and for tests.

The same answers as ValkeyServices in every case (one contract suite). Threads may share it: each request is one step.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from statelessnf.store.service_requests import (
    Claim,
    Created,
    Creation,
    Ending,
    Expired,
    Expiry,
    Move,
    NewFlow,
    PairChange,
    PairChanged,
    Timer,
    check_claim,
    deadline_of,
    new_token,
)


@dataclass(slots=True)
class _Armed:
    due: int
    token: bytes
    keys: tuple[bytes, ...]
    counter: bytes = b""
    of_flow: bool = False


def wall_clock() -> int:
    """ms since 1970."""
    return time.time_ns() // 1_000_000


class MemoryServices:
    """All the services of one name. `clock`: ms."""

    def __init__(self, clock: Callable[[], int] = wall_clock) -> None:
        self.now = clock
        self._lock = Lock()
        self._timers: dict[bytes, _Armed] = {}
        self._queue: list[tuple[int, bytes]] = []  # heap; what does not agree with _timers is out of date
        self._records: dict[bytes, tuple[bytes, int]] = {}  # value, time of expiry
        self._counters: Counter[bytes] = Counter()

    def arm(self, timers: Sequence[Timer]) -> list[bool]:
        """See `Timers`."""
        with self._lock:
            return [self._set(timer, b"") for timer in timers]

    def move(self, moves: Sequence[Move]) -> list[bool]:
        """See `Timers`."""
        with self._lock:
            return [self._set(move.timer, move.old_token) for move in moves]

    def hasten(self, dues: Sequence[tuple[bytes, int]]) -> None:
        """See `Timers`."""
        with self._lock:
            for timer_id, due in dues:
                armed = self._timers.get(timer_id)
                if armed is not None and due < armed.due:
                    self._schedule(armed, due)

    def end(self, endings: Sequence[tuple[bytes, bytes]]) -> list[bool]:
        """See `Timers`."""
        with self._lock:
            return [self._end(timer_id, token) for timer_id, token in endings]

    def claim(self, limit: int, lease: int) -> list[Claim]:
        """See `Timers`."""
        check_claim(limit, lease)
        token = new_token()
        claims: list[Claim] = []
        with self._lock:
            now = self.now()
            while self._queue and self._queue[0][0] <= now and len(claims) < limit:
                due, timer_id = heapq.heappop(self._queue)
                armed = self._timers.get(timer_id)
                if armed is None or armed.due != due:
                    continue
                armed.token = token
                self._schedule(armed, now + lease)
                claims.append(Claim(armed.keys, token))
        return claims

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `Flows`."""
        with self._lock:
            return [self._value(key) for key in keys]

    def create(self, flows: Sequence[NewFlow]) -> list[Created]:
        """See `Flows`."""
        with self._lock:
            return [self._create(flow) for flow in flows]

    def expire(self, endings: Sequence[Ending]) -> list[Expired]:
        """See `Flows`."""
        with self._lock:
            return [self._expire(ending) for ending in endings]

    def change_pairs(self, changes: Sequence[PairChange]) -> list[PairChanged]:
        """See `Flows`."""
        with self._lock:
            return [self._change_pair(change) for change in changes]

    def counts(self) -> dict[bytes, int]:
        """See `Counters`."""
        with self._lock:
            return dict(self._counters)

    def left(self) -> int:
        """How much is kept: timers with their places in the queue, records, counters."""
        return len(self._timers) + len(self._queue) + len(self._records) + len(self._counters)

    def _set(self, timer: Timer, old_token: bytes) -> bool:
        armed = self._timers.get(timer.id)
        standing = armed.token if armed is not None else b""
        if standing == timer.token:
            return True
        if standing != old_token:
            return False
        if armed is None:
            armed = self._timers[timer.id] = _Armed(timer.due, timer.token, (timer.id,))
        armed.token = timer.token
        self._schedule(armed, timer.due)
        return True

    def _schedule(self, armed: _Armed, due: int) -> None:
        armed.due = due
        heapq.heappush(self._queue, (due, armed.keys[0]))

    def _forget(self, timer_id: bytes) -> None:
        """The queue is made anew when most of it is out of date, so that it stays in proportion to the timers."""
        del self._timers[timer_id]
        if len(self._queue) > 2 * len(self._timers):
            self._queue = [(armed.due, key) for key, armed in self._timers.items()]
            heapq.heapify(self._queue)

    def _end(self, timer_id: bytes, token: bytes) -> bool:
        armed = self._timers.get(timer_id)
        if armed is None or armed.token != token or armed.of_flow:
            return False
        self._forget(timer_id)
        return True

    def _value(self, key: bytes) -> bytes | None:
        value, expire_at = self._records.get(key, (None, 0))
        if value is not None and expire_at <= self.now():
            del self._records[key]
            return None
        return value

    def _adjust(self, counter: bytes, by: int) -> None:
        if counter:
            self._counters[counter] += by
            if self._counters[counter] == 0:
                del self._counters[counter]

    def _create(self, flow: NewFlow) -> Created:
        values = tuple(self._value(key) for key in flow.keys)
        if any(value is not None for value in values):
            return Created(Creation.taken, values)
        before = self._timers.get(flow.keys[0])
        if before is not None:
            self._adjust(before.counter, -1)
        self._adjust(flow.counter, 1)
        armed = _Armed(0, flow.token, flow.keys, flow.counter, of_flow=True)
        self._timers[flow.keys[0]] = armed
        self._schedule(armed, deadline_of(flow.value))
        self._records.update(dict.fromkeys(flow.keys, (flow.value, flow.expire_at)))
        return Created(Creation.created if before is None else Creation.created_anew)

    def _expire(self, ending: Ending) -> Expired:
        armed = self._timers.get(ending.keys[0])
        if armed is None or armed.keys != ending.keys or ending.token not in (b"", armed.token) or not armed.of_flow:
            return Expired(Expiry.lost)
        value = self._value(ending.keys[0])
        if value is not None and deadline_of(value) > self.now():
            self._schedule(armed, deadline_of(value))
            return Expired(Expiry.rearmed, value)
        if value != ending.old:
            return Expired(Expiry.changed, value)
        self._finish(armed, value)
        return Expired(Expiry.ended)

    def _finish(self, armed: _Armed, value: bytes | None) -> None:
        self._adjust(armed.counter, -1)
        self._forget(armed.keys[0])
        for key in armed.keys:
            if value is not None and self._value(key) == value:
                del self._records[key]

    def _change_pair(self, change: PairChange) -> PairChanged:
        changed = all(self._value(key) == change.old for key in change.keys)
        if changed:
            self._records.update(dict.fromkeys(change.keys, (change.new, change.expire_at)))
        return PairChanged(changed, (self._value(change.keys[0]), self._value(change.keys[1])))
