"""Changes of a record by the operator: commits as an instance makes them (protocol.md, rules 4 to 6 and 10).

Each names the value that was read, and is done if it stands under the flow's keys, under all of them or none. Nothing
is ever created. A flow whose life a timer ends keeps its timer, and its counter follows the record, in the same step.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from statelessnf.store.client import Reply, StoreClient, Word
from statelessnf.store.library import call_functions
from statelessnf.store.service_replies import read_flag, unexpected
from statelessnf.store.shards import FLOWS, service_keys, shard_of


class Fate(Enum):
    """What became of a commit."""

    done = "done"
    changed = "changed"  # something else stands there by now
    broken = "broken"  # the flow's other key holds something else


class Change(NamedTuple):
    """From `old` to `new`. `keys`: of the flow, that first by which it was opened.

    `counter`: what counts the flow from now on, for flows with timers (None: it has none).
    """

    keys: tuple[bytes, ...]
    old: bytes
    new: bytes
    expire_at: int  # ms, store clock: when the store forgets it; not before its deadline
    counter: bytes | None


def new_nonce() -> bytes:
    """8 bytes that no writer has used: an instance's begin with its own number, which is random as well."""
    return secrets.token_bytes(8)


class Commits:
    """Over the caller's connection. Every method raises StoreError; then it may have been done."""

    def __init__(self, client: StoreClient, deployment: int) -> None:
        self._client, self._deployment = client, deployment

    def commit(self, change: Change, now: int) -> Fate:
        """`now`: ms, store clock."""
        if change.counter is None and len(change.keys) == 1:
            return self._single(change)
        return self._several(change, now)

    def remove(self, key: bytes, old: bytes) -> Fate:
        """One key and nothing else."""
        [reply] = call_functions(self._client, [("DELIFEQ", key, old)])
        return Fate.done if read_flag(reply) else Fate.changed

    def _single(self, change: Change) -> Fate:
        words: Sequence[Word] = ("SET", *change.keys, change.new, "IFEQ", change.old, "PXAT", change.expire_at)
        match call_functions(self._client, [words]):
            case [b"OK"]:
                return Fate.done
            case [None]:
                return Fate.changed
            case reply:
                raise unexpected(reply)

    def _several(self, change: Change, now: int) -> Fate:
        name, keys, more = "snf_pair_put", change.keys, list[Word]()
        if change.counter is not None:
            name, more = "snf_flow_put", [new_nonce(), change.counter]
            keys = (*service_keys(shard_of(keys[0]), self._deployment, FLOWS), *keys)
        values: list[Word] = ["same", change.old, change.new, change.expire_at, now, *more]
        match call_functions(self._client, [("FCALL", name, len(keys), *keys, *values)]):
            case [[1]]:
                return Fate.done
            case [[0, *_] | [3]]:
                return _hindered(change, call_functions(self._client, [("GET", key) for key in change.keys]))
            case reply:
                raise unexpected(reply)


def _hindered(change: Change, standing: Sequence[Reply]) -> Fate:
    """`standing`: what is under the flow's keys, where not all of them hold the old value."""
    return Fate.broken if change.old in standing else Fate.changed
