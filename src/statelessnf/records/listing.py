"""A walk over a deployment's keys in the store, a page at a time.

Bounded: a page looks at STEPS batches of about BATCH keys of the store at most, whatever else is kept there, and holds
no more than was asked for. What stands from the first page to the last is listed; it may come twice if the store's
table grows meanwhile, as with SCAN. For a page that ends within a batch the cursor keeps both ends of the batch and the
last key: if the next SCAN covers the same part of the table, keys up to that one have been listed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from statelessnf.records.ids import Place
from statelessnf.records.records import RecordDocument
from statelessnf.store.client import StoreClient
from statelessnf.store.flow_keys import keys_pattern
from statelessnf.store.service_replies import unexpected

BATCH = 1000  # keys of one SCAN, about
STEPS = 30
READ = 128  # values that are read together

Show = Callable[[Sequence[bytes]], list[RecordDocument | None]]  # documents of the keys; None: not wanted, or gone


class Walk:
    """`wanted`: which keys are worth reading."""

    def __init__(self, client: StoreClient, deployment: int, wanted: Callable[[bytes], bool], show: Show) -> None:
        self._client, self._pattern = client, keys_pattern(deployment)
        self._wanted, self._show = wanted, show

    def page(self, place: Place, limit: int) -> tuple[list[RecordDocument], Place]:
        """Up to `limit` documents, and where to go on. Raises StoreError."""
        found: list[RecordDocument] = []
        for _ in range(STEPS):
            until, keys = self._batch(place)
            last = self._fill(found, keys, limit)
            if last:
                return found, Place(place.at, until, last)
            place = Place(until)
            if not until or len(found) == limit:
                break
        return found, place

    def _fill(self, found: list[RecordDocument], keys: Sequence[bytes], limit: int) -> bytes:
        """Adds to `found`; gives the last key that was looked at, b"" if that was the last one of all."""
        for start in range(0, len(keys), READ):
            some = keys[start : start + READ]
            for at, document in enumerate(self._show(some), start):
                if document is None:
                    continue
                found.append(document)
                if len(found) == limit:
                    return keys[at] if at + 1 < len(keys) else b""
        return b""

    def _batch(self, place: Place) -> tuple[int, list[bytes]]:
        """One SCAN: where the next one begins, and the keys that are wanted."""
        words = ("SCAN", place.at, "MATCH", self._pattern, "COUNT", BATCH, "TYPE", "string")
        match self._client.call(*words):
            case [bytes() as cursor, list() as names] if cursor.isdigit():
                until = int(cursor)
                after = place.after if until == place.until else b""
                keys = {name for name in names if isinstance(name, bytes) and name > after}
                return until, sorted(key for key in keys if self._wanted(key))
            case reply:
                raise unexpected(reply)
