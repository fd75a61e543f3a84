"""What is asked of the store services and what they answer: plain values, checked when they are made.

ValueError is for what no caller may ask. Times are milliseconds of the store's clock.
"""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass
from enum import IntEnum

from statelessnf.store.checks import SCHEMA_VERSION
from statelessnf.store.shards import shard_of

LATEST = 1 << 53  # ms: scores and Lua's numbers are exact up to here
MOST_CLAIMED = 100_000
LONGEST_COUNTER = 255  # bytes
_ENVELOPE = struct.Struct("<BQQ")  # schema, nonce, deadline


def new_token() -> bytes:
    """8 bytes that nobody has used before."""
    return secrets.token_bytes(8)


def deadline_of(value: bytes) -> int:
    """The deadline in a record's envelope, ms. Raises ValueError for what is no record of this schema."""
    if len(value) < _ENVELOPE.size or value[0] != SCHEMA_VERSION:
        raise ValueError(f"no record of schema {SCHEMA_VERSION}: {value[:20]!r}")
    deadline: int = _ENVELOPE.unpack_from(value)[2]
    return _in_range(deadline, "a deadline")


def _in_range(time: int, what: str, least: int = 0) -> int:
    if not least <= time <= LATEST:
        raise ValueError(f"{what} is from {least} to 2^53 ms, not {time}")
    return time


def _check_life(value: bytes, expire_at: int) -> None:
    if deadline_of(value) > _in_range(expire_at, "a time of expiry", 1):
        raise ValueError("the record would vanish before its deadline")


def check_token(token: bytes) -> None:
    """Raises ValueError."""
    if len(token) != 8:
        raise ValueError(f"a token has 8 bytes, not {len(token)}")


def check_claim(limit: int, lease: int) -> None:
    """Raises ValueError."""
    if not 1 <= limit <= MOST_CLAIMED:
        raise ValueError(f"from 1 to {MOST_CLAIMED} timers are claimed at a time, not {limit}")
    _in_range(lease, "a lease", 1)


@dataclass(frozen=True, slots=True)
class Timer:
    """`id`: the key of its record, with the hash tag. `due`: when it fires."""

    id: bytes
    due: int
    token: bytes

    def __post_init__(self) -> None:
        shard_of(self.id)
        check_token(self.token)
        _in_range(self.due, "a due time")


@dataclass(frozen=True, slots=True)
class Move:
    """The timer as it shall be, if `old_token` stands."""

    old_token: bytes
    timer: Timer

    def __post_init__(self) -> None:
        check_token(self.old_token)
        if self.old_token == self.timer.token:
            raise ValueError("a moved timer needs a new token")


@dataclass(frozen=True, slots=True)
class Claim:
    """A timer that is ours until the lease ends. `keys`: of its record, the timer's id first; two for a pair."""

    keys: tuple[bytes, ...]
    token: bytes

    @property
    def id(self) -> bytes:
        """The timer's."""
        return self.keys[0]


@dataclass(frozen=True, slots=True)
class NewFlow:
    """A record under one key or two, with a timer that fires at its deadline and, unless it is empty, a counter.

    `expire_at`: the far backstop, when the keys vanish by themselves; not before the deadline.
    """

    keys: tuple[bytes, ...]
    value: bytes
    expire_at: int
    token: bytes
    counter: bytes = b""

    def __post_init__(self) -> None:
        check_keys(self.keys)
        check_token(self.token)
        _check_life(self.value, self.expire_at)
        if len(self.counter) > LONGEST_COUNTER:
            raise ValueError(f"a counter's name has at most {LONGEST_COUNTER} bytes")


def check_keys(keys: tuple[bytes, ...]) -> None:
    """One key, or two different ones of the same shard. Raises ValueError."""
    _check_different(keys)
    if len({shard_of(key) for key in keys}) != 1:
        raise ValueError("both keys of a flow are of the same shard")


def _check_different(keys: tuple[bytes, ...]) -> None:
    if len(keys) not in (1, 2) or len(set(keys)) != len(keys):
        raise ValueError("a flow has one key, or two different ones")


class Creation(IntEnum):
    """What became of a new flow."""

    taken = 0  # one of the keys has a record
    created = 1
    created_anew = 2  # created; the record before had vanished from under its timer, its counter was given back


@dataclass(frozen=True, slots=True)
class Created:
    """`values`: where taken, what stands under each key (None: nothing)."""

    outcome: Creation
    values: tuple[bytes | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """A flow to be expired. `old`: its record as it was read, None if there was none.

    The keys of an engine's flow may be of different shards, where a port is translated: its store is one server.

    `token`: the claim's; empty for a record that is past its deadline and in somebody's way: whoever is first ends it.
    """

    keys: tuple[bytes, ...]
    token: bytes
    old: bytes | None

    def __post_init__(self) -> None:
        _check_different(self.keys)
        if self.token:
            check_token(self.token)


class Expiry(IntEnum):
    """What became of a flow that was to be expired."""

    lost = 0  # the timer is somebody else's by now, gone, or of another pair
    ended = 1  # record, counter and timer are gone, by this call
    rearmed = 2  # its deadline was moved on: the timer fires then
    changed = 3  # it is past its deadline and not as it was read: look again


@dataclass(frozen=True, slots=True)
class Expired:
    """`value`: where re-armed or changed, the record that stands (None: none)."""

    outcome: Expiry
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class PairChange:
    """Both keys of a pair from `old` to `new`, which vanish at `expire_at`; deleting is a change with a short life."""

    keys: tuple[bytes, bytes]
    old: bytes
    new: bytes
    expire_at: int

    def __post_init__(self) -> None:
        check_keys(self.keys)
        if len(self.keys) != 2 or not self.old:
            raise ValueError("a pair is changed from one record to another")
        _check_life(self.new, self.expire_at)


@dataclass(frozen=True, slots=True)
class PairChanged:
    """`values`: what stands under both keys now."""

    changed: bool
    values: tuple[bytes | None, bytes | None]
