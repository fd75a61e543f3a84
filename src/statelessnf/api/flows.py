"""The state in the store, decoded: list and filter, inspect, modify, delete (§6 of the paper: "a global view").

The contract behind it blocks, so these functions are plain ones: the framework calls them in threads.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import PlainValidator, WithJsonSchema

from statelessnf.api.documents import ChangesBody
from statelessnf.api.openapi import problems
from statelessnf.api.state import TheRecords
from statelessnf.networks import Network, parse_network
from statelessnf.records.records import Filter, Page, RecordDocument

router = APIRouter(prefix="/flows", tags=["flows"], responses=problems(409, 503))
FIELD = "^[A-Za-z_][A-Za-z0-9_.]{0,63}=-?[0-9]{1,20}$"


Field = Annotated[str, Query(pattern=FIELD)]
NETWORK_FORMAT = "ip-network"
NetworkText = Annotated[
    Network, PlainValidator(parse_network), WithJsonSchema({"type": "string", "format": NETWORK_FORMAT})
]
NETWORK = "One of the two addresses is in it."
PROTOCOL = "Its name, as records are shown with it."
FIELDS = "NAME=NUMBER: a field of the function's record; all that are given hold."


@router.get("", responses=problems(422))
def list_flows(
    records: TheRecords,
    network: Annotated[NetworkText | None, Query(description=NETWORK)] = None,
    port: Annotated[int | None, Query(ge=0, le=0xFFFF, description="One of the two ports.")] = None,
    protocol: Annotated[str | None, Query(pattern="^[a-z0-9-]{1,20}$", description=PROTOCOL)] = None,
    field: Annotated[list[Field] | None, Query(max_length=32, description=FIELDS)] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of records in the answer.")] = 100,
    cursor: Annotated[str, Query(max_length=1000, description="Of the page before.")] = "",
) -> Page:
    """Records that fit, a page at a time; a page may be empty and not the last one."""
    fields = {name: int(value) for name, _, value in (text.partition("=") for text in field or ())}
    return records.list(Filter(network, port, protocol, fields), cursor, limit)


@router.get("/{id}", responses=problems(404))
def get_flow(id: str, records: TheRecords) -> RecordDocument:
    """One record."""
    return records.inspect(id)


@router.patch("/{id}", responses=problems(400, 404, 413, 415, 422))
def patch_flow(id: str, body: ChangesBody, records: TheRecords) -> RecordDocument:
    """Commits new values of fields of the function's record, as an instance does."""
    return records.modify(id, body.record)


@router.delete("/{id}", responses=problems(404))
def delete_flow(id: str, records: TheRecords) -> RecordDocument:
    """Takes the record away, and answers what it was: the flow's next packet meets the rules as a new one."""
    return records.delete(id)
