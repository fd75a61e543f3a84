"""What instances and the store say to each other: records, requests, replies and pushes. All values are immutable."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

State: TypeAlias = str | tuple[object, ...] | None
Nonce: TypeAlias = tuple[int, int]


class Record(NamedTuple):
    """A stored value. `nonce`: (instance, counter) of the writer; `deadline`: clock ticks."""

    state: State
    nonce: Nonce
    deadline: int


class Write(NamedTuple):
    """One key of a compare-and-set: `old` must stand there (None: nothing may), then `new` does. `over`: also nothing,
    or a record that is past its deadline at this time, may stand there."""

    key: int
    old: Record | None
    new: Record
    over: int | None = None

    def fits(self, found: Record | None) -> bool:
        """May `new` replace what was found?"""
        return found == self.old or (self.over is not None and (found is None or found.deadline <= self.over))


class Leave(NamedTuple):
    """One key that a commit deletes if `old` stands there (None: whatever does)."""

    key: int
    old: Record | None


class Read(NamedTuple):
    """MGET; `tracked`: behind CLIENT CACHING YES. `refill`: sent behind an own commit, only to fill the cache."""

    keys: tuple[int, ...]
    tracked: bool
    refill: bool
    sent: int


class Commit(NamedTuple):
    """One atomic compare-and-set of all `writes`, the own key's first, which then leaves the keys in `left`.
    `frames` are parked by the same Function. `blind`: no comparison."""

    writes: tuple[Write, ...]
    left: tuple[Leave, ...]
    frames: tuple[int, ...]
    blind: bool
    sent: int


class Touch(NamedTuple):
    """PEXPIRE of one key, with nothing compared. Only sent while rule 6 is off."""

    key: int
    deadline: int
    sent: int


class Fetch(NamedTuple):
    """Read parked frames. `delete`: take them away at the same time (only while rule 9 is off)."""

    frames: tuple[int, ...]
    delete: bool
    sent: int


class KeepFrames(NamedTuple):
    """Park (`put`) or delete frames by a command of their own; nobody waits for the answer."""

    frames: tuple[int, ...]
    put: bool
    sent: int


class Ping(NamedTuple):
    """Renews trust in an idle connection (rule 14)."""

    sent: int


Request: TypeAlias = Read | Commit | Touch | Fetch | KeepFrames | Ping


class Reply(NamedTuple):
    """The answer to `request`. `records`: of a read, or what stands under a refused commit's own key; none if it is the
    other key that refused, or if MSETEX did, which does not tell. `frames`: found."""

    request: Request
    done: bool
    records: tuple[Record | None, ...]
    frames: tuple[int, ...]


class Push(NamedTuple):
    """Invalidation of one key."""

    key: int
