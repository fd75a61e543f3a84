"""`snf flows`: the state in the store, decoded; list with filters, inspect, modify, delete (§6 of the paper)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from urllib.parse import quote

from statelessnf.api.client import Client, connected
from statelessnf.commands.output import clean, seconds, show, table
from statelessnf.records.records import EndDocument, Page, RecordDocument

MOST = 1000  # records in an answer


@dataclass(frozen=True)
class Wanted:
    """Which records, and how many at most."""

    network: str | None = None
    port: int | None = None
    protocol: str | None = None
    fields: dict[str, int] = field(default_factory=dict)
    limit: int = 100
    cursor: str = ""


def list_flows(deployment: str, wanted: Wanted, *, as_json: bool) -> None:
    """Prints what fits, and where to go on. Raises SnfError (see Client)."""
    with connected(deployment) as client:
        page = _collected(client, wanted)
    if as_json:
        print(page.model_dump_json())
        return
    columns = ("id", "protocol", "low", "high", "left", "bytes", "record")
    show(table(columns, [_row(one) for one in page.records]))
    if page.cursor:
        print(f"there may be more: --cursor {clean(page.cursor)}", file=sys.stderr)


def inspect(deployment: str, id: str, *, as_json: bool) -> None:
    """Prints one record. Raises SnfError, NotFound."""
    with connected(deployment) as client:
        _tell(client.get(_path(id), RecordDocument), as_json)


def modify(deployment: str, id: str, changes: dict[str, int], *, as_json: bool) -> None:
    """Commits new values of fields, and prints the record. Raises SnfError, NotFound, Refused."""
    with connected(deployment) as client:
        _tell(client.send("PATCH", _path(id), RecordDocument, {"record": changes}), as_json)


def delete(deployment: str, id: str, *, as_json: bool) -> None:
    """Takes the record away, and prints what it was. Raises SnfError, NotFound."""
    with connected(deployment) as client:
        _tell(client.send("DELETE", _path(id), RecordDocument), as_json)


def _collected(client: Client, wanted: Wanted) -> Page:
    """Pages until there are enough records, or no more: one alone may be empty and not the last."""
    records: list[RecordDocument] = []
    cursor = wanted.cursor
    fields = [f"{name}={value}" for name, value in wanted.fields.items()]
    while True:
        limit = min(wanted.limit - len(records), MOST)
        page = client.get(
            "/flows", Page, network=wanted.network, port=wanted.port, protocol=wanted.protocol, field=fields,
            limit=limit, cursor=cursor,
        )  # fmt: skip
        records, cursor = records + page.records, page.cursor
        if not cursor or len(records) >= wanted.limit:
            return Page(records=records, cursor=cursor)


def _path(id: str) -> str:
    return f"/flows/{quote(id, safe='').replace('.', '%2E')}"


def _row(one: RecordDocument) -> tuple[object, ...]:
    left = seconds(one.deadline_ms_left / 1000)
    fields = " ".join(f"{name}={value}" for name, value in one.record.items())
    return (one.id, one.protocol, _end(one.low), _end(one.high), left, one.size, fields)


def _end(end: EndDocument) -> str:
    return f"[{end.address}]:{end.port}" if ":" in end.address else f"{end.address}:{end.port}"


def _tell(one: RecordDocument, as_json: bool) -> None:
    if as_json:
        print(one.model_dump_json())
        return
    rows: list[tuple[str, object]] = [
        ("id", one.id), ("protocol", one.protocol), ("low", _end(one.low)), ("high", _end(one.high)),
        ("left", seconds(one.deadline_ms_left / 1000)), ("bytes", one.size),
    ]  # fmt: skip
    rows += [("other id", one.other)] if one.other else []
    rows += [(f"record.{name}", value) for name, value in one.record.items()]
    show(table(("", ""), rows))
