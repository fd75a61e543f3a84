"""What `snf agent` and its client say to each other: JSON over HTTP, below /v1/DEPLOYMENT/KIND.

    GET  capacity                    Capacity
    POST instances                   Launch -> Started
    PUT  instances/NAME              Adoption -> Adopted
    POST instances/NAME/stop, kill
    GET  events                      one News a line, as long as the connection lasts; an empty one each second

KIND is `process` or `docker`; the latter with ?image=NAME. Ends are told to whoever listens then. Who listens anew asks
for each instance that it knows (PUT), and is told about those that have ended meanwhile: so no end is lost, also not
when the agent itself was started anew. Faults are the problem documents of the REST API (api/problems.py).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from statelessnf.orchestrator.drivers.driver import Capacity, Launch

BEAT = 1.0  # seconds between two lines of events
SILENCE = 3.0  # seconds without a line: the agent, or its host, is gone
LONGEST = 1 << 16  # bytes of a line

LAUNCH: TypeAdapter[Launch] = TypeAdapter(Launch)
CAPACITY: TypeAdapter[Capacity] = TypeAdapter(Capacity)
Kind = Literal["process", "docker"]


class Message(BaseModel):
    """Nothing but what is named."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Started(Message):
    """See `Driver.start`."""

    handle: str


class Adoption(Message):
    """See `Driver.adopt`."""

    handle: str


class Adopted(Message):
    """`why`: it has ended, if it has and that is known."""

    alive: bool
    why: str = ""


class News(Message):
    """An instance has ended; no name: nothing has happened."""

    name: str = ""
    why: str = ""
