"""What the simulated store knows of statelessnf.lua: functions that write flows, snf_pair_put|make, snf_flow_put|make.

Replies are byte for byte those of the library in Valkey 9.1.2 (tests/test_simulated_store.py runs the same scripts on
both), and so are pushes: each key written is a change. Their contract is in the library's head. What they keep beside
records is `timers`, `entries` and `counters`, each by its key; no command reads those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from statelessnf.store.simulated_link import Link, Reply, StoreFault

LATEST = 1 << 53
ENVELOPE = 17  # schema (1), nonce (8), deadline (8): engine/record.hpp
MAKES = (b"snf_pair_make", b"snf_flow_make")  # refused in a full store
PUTS = (b"snf_pair_put", b"snf_flow_put")
NO_PAIR = "SNF no pair, or no such change of one"
NO_CHANGE = "SNF no such change, no record, or it vanishes before its deadline"
NO_TOKEN = "SNF no token, or a counter of more than 255 bytes"


class Records(Protocol):
    """What functions need of the store; `link` is the caller's connection."""

    def read(self, link: Link, key: bytes) -> bytes | None:
        """The record; tracked if the caller asked for that."""

    def write(self, link: Link, key: bytes, value: bytes, expire_at: int | None) -> None:
        """Set it, and tell of it; it is gone at once if `expire_at` has come."""

    def delete(self, link: Link, key: bytes) -> bool:
        """Whether it was there; and tell of it."""

    def changed(self, key: bytes, writer: Link) -> None:
        """Tell those who track the key."""


@dataclass(frozen=True, slots=True)
class _Put:
    key: bytes
    partner: bytes | None
    former: bytes | None
    same: bool
    old: bytes | None
    new: bytes
    expire_at: int
    now: int


class SimulatedFunctions:
    """The functions, and what they keep. `timers`: due times by flow; `entries` by flow; `counters` by name."""

    def __init__(self, records: Records) -> None:
        self.timers: dict[bytes, dict[bytes, int]] = {}
        self.entries: dict[bytes, dict[bytes, bytes]] = {}
        self.counters: dict[bytes, dict[bytes, int]] = {}
        self._records = records

    def clear(self) -> None:
        """Forget what is kept, as FLUSHALL does."""
        for kept in (self.timers, self.entries, self.counters):
            kept.clear()

    def call(self, link: Link, name: bytes, numkeys: bytes, words: Sequence[bytes]) -> Reply:
        """FCALL `name` `numkeys` `words`, of a function that there is. Raises StoreFault."""
        if not numkeys.removeprefix(b"-").isdigit():
            raise StoreFault("ERR Bad number of keys provided")
        count = int(numkeys)
        if count > len(words):
            raise StoreFault("ERR Number of keys can't be greater than number of args")
        if count < 0:
            raise StoreFault("ERR Number of keys can't be negative")
        run = self._pair_put if b"pair" in name else self._flow_put
        return run(link, words[:count], words[count:])

    def _pair_put(self, link: Link, keys: Sequence[bytes], args: Sequence[bytes]) -> Reply:
        put = _wanted(keys, args)
        if put is None or put.partner is None:
            raise StoreFault(NO_PAIR)
        return self._obstacle(link, put) or self._write(link, put)

    def _flow_put(self, link: Link, keys: Sequence[bytes], args: Sequence[bytes]) -> Reply:
        put = _wanted(keys[3:], args)
        due = _deadline(put.new) if put is not None else None
        if put is None or due is None or put.expire_at < due:
            raise StoreFault(NO_CHANGE)
        token, counter = _word(args, 5), _word(args, 6)
        if len(token) != 8 or len(counter) > 255:
            raise StoreFault(NO_TOKEN)
        hindered = self._obstacle(link, put)
        if hindered is not None:
            return hindered
        self._records.read(link, keys[1])  # for the tracking of it
        reply = self._write(link, put)
        self._attend(link, keys, due, token, counter)
        return reply

    def _obstacle(self, link: Link, put: _Put) -> Reply:
        value = self._records.read(link, put.key)
        if value != put.old:
            return [0, value]
        if put.partner is None:
            return None
        other = self._records.read(link, put.partner)
        if other == put.old:
            return None
        if put.same:
            return [3]
        due = _deadline(other) if other is not None else -1
        return [2] if due is None or due >= put.now else None

    def _write(self, link: Link, put: _Put) -> Reply:
        former = put.former if put.old is not None and put.former != put.partner else None
        left = former is not None and self._records.read(link, former) == put.old
        for key in (put.key, put.partner):
            if key is not None:
                self._records.write(link, key, put.new, put.expire_at)
        if former is not None and left:
            self._records.delete(link, former)
        return [1]

    def _attend(self, link: Link, keys: Sequence[bytes], due: int, token: bytes, counter: bytes) -> None:
        key, partner = keys[3], _word(keys, 4)
        timers, entries = self.timers.setdefault(keys[0], {}), self.entries.setdefault(keys[1], {})
        before = entries.get(key)
        timers[key] = due if before is None else min(due, timers.get(key, due))
        entries[key] = (token if before is None else before[:8]) + bytes([len(counter)]) + counter + partner
        if entries[key] != before:
            self._records.changed(keys[1], link)
        self._adjust(keys[2], b"" if before is None else before[9 : 9 + before[8]], -1)
        self._adjust(keys[2], counter, 1)

    def _adjust(self, name: bytes, counter: bytes, by: int) -> None:
        if counter:
            counters = self.counters.setdefault(name, {})
            counters[counter] = counters.get(counter, 0) + by
            if counters[counter] == 0:
                del counters[counter]


def _wanted(keys: Sequence[bytes], args: Sequence[bytes]) -> _Put | None:
    """What is asked for; None if something of it is wrong."""
    key, partner, former = [*keys[:3], None, None, None][:3]
    kind, old, new = (_word(args, at) for at in range(3))
    expire_at, now = _whole(_word(args, 3), 1), _whole(_word(args, 4), 0)
    if key is None or key in (partner, former) or not new or expire_at is None or now is None:
        return None
    if kind not in (b"same", b"anew") or (kind == b"same" and (not old or former is not None)):
        return None
    return _Put(key, partner, former, kind == b"same", old or None, new, expire_at, now)


def _word(words: Sequence[bytes], at: int) -> bytes:
    return words[at] if at < len(words) else b""


def _whole(text: bytes, least: int) -> int | None:
    """A number as Lua reads it: beyond 2^53 not exactly."""
    number = int(float(text)) if text.isdigit() else -1
    return number if least <= number <= LATEST else None


def _deadline(value: bytes) -> int | None:
    if len(value) < ENVELOPE or value[0] != 1:
        return None
    at = int(float(int.from_bytes(value[9:17], "little")))
    return at if at <= LATEST else None
