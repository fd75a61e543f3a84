"""The records of a deployment in its store, for the operator: see `Records`.

An instance that has a record cached is told of a change by the store, as of any commit of another instance. Records of
fragments are the engine's own and are not shown. The store is one server: a cluster is not walked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock

from statelessnf.config import STALE_MARGIN, Deployment
from statelessnf.errors import Refused
from statelessnf.pipe_options import TOLD_MS, deployment_number
from statelessnf.records.commits import Change, Commits, Fate, new_nonce
from statelessnf.records.ids import cursor_of, id_of, key_of, place_of
from statelessnf.records.layout import Layout, Value
from statelessnf.records.listing import Walk
from statelessnf.records.reading import Found, Reader
from statelessnf.records.records import Filter, Page, RecordDocument
from statelessnf.records.wanted import Wanted
from statelessnf.store.client import StoreClient
from statelessnf.store.url import StoreUrl

MOST = 1000  # records of a page
ATTEMPTS = 8  # at a record that instances change meanwhile


class StoredRecords:
    """`url`: of the deployment's store as it runs, unix or valkey. For any thread; `close` after the last call."""

    def __init__(self, deployment: Deployment, url: StoreUrl) -> None:
        """Connects with the first call. Raises Refused for the baseline, whose records are in no store."""
        if url.kind not in ("unix", "valkey"):
            do = "set store.url to a store that runs, or to 'embedded', whose socket is in the run directory"
            raise Refused("the instances keep their records to themselves", f"store.url = {url.kind!r}", do)
        self._number = deployment_number(deployment.name)
        self._hold_ms = deployment.store.stale_ms + STALE_MARGIN
        self._layout = Layout(deployment.function_class, deployment.settings)
        self._client = StoreClient(url)
        self._reader = Reader(self._client, deployment.name, self._number, self._layout)
        self._commits = Commits(self._client, self._number)
        self._lock = Lock()

    def close(self) -> None:
        """Gives the connection up."""
        with self._lock:
            self._client.close()

    def list(self, filter: Filter, cursor: str = "", limit: int = 100) -> Page:
        """See `Records`; `limit` is from 1 to MOST."""
        if not 1 <= limit <= MOST:
            raise Refused(f"a page has 1 to {MOST} records, not {limit}", "limit")
        wanted, place = Wanted(filter, self._layout), place_of(cursor, self._number)
        with self._lock:
            show = partial(self._reader.documents, wanted, self._client.now())
            walk = Walk(self._client, self._number, self._reader.by_key(wanted), show)
            documents, end = walk.page(place, limit)
        return Page(records=documents, cursor=cursor_of(end))

    def inspect(self, id: str) -> RecordDocument:
        """See `Records`."""
        return self._decide(id, self._reader.document)

    def modify(self, id: str, changes: dict[str, int]) -> RecordDocument:
        """See `Records`. The record lives for as long as it would have."""

        def changed(found: Found, now: int) -> RecordDocument | None:
            if found.value is None:
                raise Refused(f"the record cannot be read: {found.problem}", id, "delete it")
            value = self._layout.changed(found.value, changes)
            fate, stored = self._commit(found, found.value, value, now)
            if fate is Fate.broken:
                raise Refused("the flow's other key holds another record", id, "delete this one")
            return None if fate is Fate.changed else self._reader.document(self._reader.found(found.key, stored), now)

        return self._decide(id, changed)

    def delete(self, id: str) -> RecordDocument:
        """See `Records`; docs/flows.md says what becomes of the flow."""

        def gone(found: Found, now: int) -> RecordDocument | None:
            document = self._reader.document(found, now)
            return document if self._end(found, now) is Fate.done else None

        return self._decide(id, gone)

    def _decide(self, id: str, attempt: Callable[[Found, int], RecordDocument | None]) -> RecordDocument:
        """What an attempt on the record that stands gives; again on the next one, if it had changed."""
        key = key_of(id, self._number)
        with self._lock:
            for _ in range(ATTEMPTS):
                now = self._client.now()
                if (document := attempt(self._reader.read(key, now), now)) is not None:
                    return document
        raise Refused("packets change this record too quickly", id_of(key), "try again")

    def _end(self, found: Found, now: int) -> Fate:
        """A flow with a timer: past its deadline from now on, and its timer ends it, as it ends any (store/expiry.py).

        Else a flow of two keys gets an empty record for as long as an instance that is cut off from the store may use
        the old one, so that nobody else gets what it stands for meanwhile (protocol.md, rule 14). Else the key goes.
        """
        fate, value = Fate.broken, found.value
        if value is not None and self._layout.timed:
            fate, _ = self._commit(found, value, value._replace(deadline=max(0, now - STALE_MARGIN)), now)
        elif value is not None and any(value.link):
            nothing = value._replace(deadline=now + self._hold_ms, fields=bytes(len(value.fields)))
            fate, _ = self._commit(found, value, nothing, now)
        return self._commits.remove(found.key, found.stored) if fate is Fate.broken else fate

    def _commit(self, found: Found, before: Value, after: Value, now: int) -> tuple[Fate, bytes]:
        """And the value that was written, if it was; the store keeps it for as long as an instance's."""
        other, stored = self._reader.other_key(found), self._layout.stored(after, new_nonce())
        keys: tuple[bytes, ...] = (found.key,)
        if other is not None:
            keys = (found.key, other) if before.opened_by(found.key, other) else (other, found.key)
        expire_at, counter = after.deadline, None
        if self._layout.timed:
            expire_at, counter = expire_at + TOLD_MS, self._layout.counter(after)
        return self._commits.commit(Change(keys, found.stored, stored, expire_at, counter), now), stored
