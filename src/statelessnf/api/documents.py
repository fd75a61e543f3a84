"""What requests bring and answers hold, beside the documents of the contracts (orchestrator/face.py, records.py).

Server and client share them, so nothing here needs the web framework.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from statelessnf.orchestrator.face import EventDocument, HostDocument, InstanceDocument


def _whole(value: object) -> object:
    """3.0 is an integer in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Size = Annotated[int, Field(ge=0, le=1000), BeforeValidator(_whole)]
FieldValue = Annotated[int, BeforeValidator(_whole)]  # whether it fits the field knows
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,63}$")]


class Body(BaseModel):
    """Of a request: no unknown keys, no conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class SizeBody(Body):
    """How many instances; null: scaling decides."""

    size: Size | None


class DrainBody(Body):
    """Whether the instance is to get no traffic."""

    drained: bool


class ChangesBody(Body):
    """New values of fields of the function's record."""

    record: dict[FieldName, FieldValue] = Field(
        min_length=1, max_length=256, json_schema_extra={"additionalProperties": False}
    )


class RevisionDocument(BaseModel):
    """Of the deployment."""

    revision: int


class InstancesDocument(BaseModel):
    """All instances that are known."""

    instances: list[InstanceDocument]


class HostsDocument(BaseModel):
    """All hosts."""

    hosts: list[HostDocument]


class EventsDocument(BaseModel):
    """Some events, oldest first. `last`: what to ask for as `after` next."""

    events: list[EventDocument]
    last: int


class HealthDocument(BaseModel):
    """Whether all is well, and else what is not."""

    healthy: bool
    leader: bool
    problems: list[str]
