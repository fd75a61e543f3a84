"""Reads records of a deployment and shows them.

Every stored byte is checked here, once. A record past its deadline counts as absent, as does one that an operator has
ended; one that cannot be read (another schema, a wrong size) is shown with the problem in place of its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from statelessnf.errors import NotFound, StoreReplyError
from statelessnf.records.ids import id_of
from statelessnf.records.layout import Layout, Value
from statelessnf.records.records import EndDocument, RecordDocument
from statelessnf.records.wanted import Wanted, protocol_text
from statelessnf.store.client import StoreClient
from statelessnf.store.flow_keys import Endpoint, FlowKey, ShardMap, flow_key
from statelessnf.store.service_replies import read_value, unexpected


class Found:
    """What stands under a key. `value`: None where it cannot be read, and `problem` says why."""

    def __init__(self, key: bytes, name: FlowKey, stored: bytes, layout: Layout) -> None:
        self.key, self.name, self.stored = key, name, stored
        self.value: Value | None = None
        self.problem = ""
        try:
            self.value = layout.value(stored, name.version)
        except ValueError as error:
            self.problem = str(error)

    def stands(self, now: int) -> bool:
        """Whether it counts. An unreadable one does: it is in the way."""
        return self.value is None or (self.value.deadline >= now and not self.value.empty)


class Reader:
    """Of deployment `name` with this `number`, over the caller's connection. Every method raises StoreError."""

    def __init__(self, client: StoreClient, name: str, number: int, layout: Layout) -> None:
        self._client, self._name, self._number, self._layout = client, name, number, layout
        self._shards: ShardMap | None = None

    def read(self, key: bytes, now: int) -> Found:
        """What stands under a flow's key at `now` (ms, store clock). Raises NotFound."""
        [stored] = self._values([key])
        if stored is not None and (found := self.found(key, stored)).stands(now):
            return found
        raise NotFound("no record has this id", id_of(key), "it has ended, or never was; list what there is")

    def found(self, key: bytes, stored: bytes) -> Found:
        """The bytes that stand under a flow's key, read."""
        return Found(key, flow_key(key, self._number), stored, self._layout)

    def other_key(self, found: Found) -> bytes | None:
        """The flow's other key; None: it has one, or the record cannot be read."""
        if found.value is None or not any(found.value.link):
            return None
        if self._shards is None:
            self._shards = ShardMap(self._secret())
        return self._shards.other_key(found.key, found.value.link)

    def document(self, found: Found, now: int) -> RecordDocument:
        """As it is shown."""
        value, other = found.value, self.other_key(found)
        shown: dict[str, int | str] = {"problem": found.problem}
        if value is not None:
            shown = {**self._layout.words(value), **self._layout.numbers(value)}
        return RecordDocument(
            id=id_of(found.key),
            protocol=protocol_text(found.name.protocol),
            low=_end(found.name.low),
            high=_end(found.name.high),
            record=shown,
            deadline_ms_left=0 if value is None else value.deadline - now,
            size=len(found.stored),
            other=None if other is None else id_of(other),
        )

    def by_key(self, wanted: Wanted) -> Callable[[bytes], bool]:
        """Whether what a key says is wanted."""

        def wants(key: bytes) -> bool:
            try:
                return wanted.by_key(flow_key(key, self._number))
            except ValueError:  # a stranger's
                return False

        return wants

    def documents(self, wanted: Wanted, now: int, keys: Sequence[bytes]) -> list[RecordDocument | None]:
        """Of each key what stands there, if it is wanted."""
        documents: list[RecordDocument | None] = []
        for key, stored in zip(keys, self._values(keys), strict=True):
            found = None if stored is None else self.found(key, stored)
            shown = found is not None and found.stands(now) and wanted.by_value(found.value)
            documents.append(self.document(found, now) if found is not None and shown else None)
        return documents

    def _values(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """What is no text, and so none of ours, counts as absent to MGET."""
        reply = self._client.call("MGET", *keys)
        if not isinstance(reply, list) or len(reply) != len(keys):
            raise unexpected(reply)
        return [read_value(value) for value in reply]

    def _secret(self) -> int:
        name = f"statelessnf:{self._name}:secret"
        secret = read_value(self._client.call("GET", name))
        if secret is None or len(secret) != 8:
            raise StoreReplyError(f"{name} holds no secret", "store", "start an instance of this deployment once")
        return int.from_bytes(secret, "little")


def _end(end: Endpoint) -> EndDocument:
    return EndDocument(address=str(end[0]), port=end[1])
