"""Small values under keys of their own, each replaced by compare-and-set and forgotten unless somebody renews it.

For what instances find out together and may find out again, such as the health of servers. Two back ends, as for the
services: within the process, and over Valkey. Every method raises StoreError; then any of the changes may have been
done, and who repeats one is refused where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import NamedTuple, Protocol

from statelessnf.store.client import Reply, StoreClient, Word
from statelessnf.store.library import call_functions
from statelessnf.store.service_replies import read_value, unexpected


class Change(NamedTuple):
    """`key` from `old` (None: nothing there) to `new`, which lasts for `life` ms."""

    key: bytes
    old: bytes | None
    new: bytes
    life: int


class Values(Protocol):
    """What a back end is."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """What stands under each key."""

    def replace(self, changes: Sequence[Change]) -> list[bool]:
        """Each for itself; False: something else than `old` stood there."""


class MemoryValues:
    """Within the process; threads may share it. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._values: dict[bytes, tuple[bytes, float]] = {}  # value, when it is forgotten

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `Values`."""
        with self._lock:
            return [self._value(key) for key in keys]

    def replace(self, changes: Sequence[Change]) -> list[bool]:
        """See `Values`."""
        with self._lock:
            return [self._replace(change) for change in changes]

    def _value(self, key: bytes) -> bytes | None:
        value, until = self._values.get(key, (None, 0.0))
        if value is not None and until <= self._clock():
            del self._values[key]
            return None
        return value

    def _replace(self, change: Change) -> bool:
        if self._value(change.key) != change.old:
            return False
        self._values[change.key] = (change.new, self._clock() + change.life / 1000)
        return True


class StoreValues:
    """Over Valkey; one thread at a time. The client stays the caller's."""

    def __init__(self, client: StoreClient) -> None:
        self._client = client

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `Values`."""
        return [read_value(reply) for reply in call_functions(self._client, [("GET", key) for key in keys])]

    def replace(self, changes: Sequence[Change]) -> list[bool]:
        """See `Values`."""
        return [_done(reply) for reply in call_functions(self._client, [_set(change) for change in changes])]


def _set(change: Change) -> Sequence[Word]:
    condition = ("NX",) if change.old is None else ("IFEQ", change.old)
    return ("SET", change.key, change.new, *condition, "PX", change.life)


def _done(reply: Reply) -> bool:
    if reply is None or reply == b"OK":
        return reply is not None
    raise unexpected(reply)
