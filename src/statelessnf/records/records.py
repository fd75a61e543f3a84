"""The contract of the operator's view: list, inspect, modify and delete records in the store.

Methods block (the store is asked) and may be called from any thread, by several at a time. What is shown was true when
it was read: packets go on changing records meanwhile, which is why a change is a commit like that of an instance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True)
class Filter:
    """Which records are wanted: those for which all of it holds. Nothing given: all."""

    network: IPv4Network | IPv6Network | None = None  # one of the two addresses is in it
    port: int | None = None  # one of the two ports
    protocol: str | None = None  # a name, as in `RecordDocument.protocol`
    fields: dict[str, int] = field(default_factory=dict)  # of the function's record: name to value


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EndDocument(_Document):
    """One end of a flow. `port` is 0 where the protocol has none."""

    address: str
    port: int


class RecordDocument(_Document):
    """One record, decoded. `low` and `high` are the flow's ends in the order of its key, not who began it."""

    id: str  # letters, digits, - and _ only: it stands in paths
    protocol: str
    low: EndDocument
    high: EndDocument
    record: dict[str, int | str]  # the function's fields; an element of an array as `window.0`
    deadline_ms_left: int
    size: int  # bytes of the stored value
    other: str | None = None  # id under which the same flow stands with its other key


class Page(_Document):
    """Some records and where to go on: `cursor` is empty when there are no more.

    A page may hold fewer than asked for, even none, and not be the last one.
    """

    records: list[RecordDocument]
    cursor: str


class Records(Protocol):
    """The records of one deployment.

    Every method raises StoreError; NotFound for an id without a record; Refused, with the reason, for a field that the
    function does not have, a value that does not fit into it, or a cursor that never was one.
    """

    def list(self, filter: Filter, cursor: str = "", limit: int = 100) -> Page:
        """At most `limit` records, from where `cursor` of the page before points; "": from the start."""

    def inspect(self, id: str) -> RecordDocument:
        """One record."""

    def modify(self, id: str, changes: dict[str, int]) -> RecordDocument:
        """Commits new values of some fields, on whatever the record is by then; all of them or none."""

    def delete(self, id: str) -> RecordDocument:
        """Takes the record (under both keys, if it has two) away; gives what it was."""
