"""What the orchestrator shows and lets be done: the one contract behind the REST API, the commands and the metrics.

Documents are pydantic models, so the same facts stand everywhere. Every method that changes something raises NotLeader
on a standby, NotFound for a name that is not there, and Refused, with the reason, for what cannot be.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """What is shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LoadDocument(Document):
    """See model.Load."""

    utilisation: float
    receive_drops: float
    latency_us: float
    packets: float


class InstanceDocument(Document):
    """One instance. `figures`: what it counts (the lines of `snf run --json`), at most some seconds old."""

    name: str
    host: str
    slot: int
    revision: int
    pipes: int
    health: str
    health_seconds: float
    steered: bool
    drained: bool
    faults: int
    load: LoadDocument
    beats: int
    figures: dict[str, Any]


class HostDocument(Document):
    """One host and what is measured of it."""

    name: str
    driver: str
    reachable: bool
    cores: list[int]
    memory_mb: int
    slots: int
    used: int
    interfaces: list[str]
    problem: str
    note: str = ""

    def told(self, problem: str) -> str:
        """A problem of this host with its name before it, once."""
        named = f"host {self.name}: "
        return named + problem.removeprefix(named)


class SteeringDocument(Document):
    """The switch: `members` are names of instances, in order; `traffic`: packets given to each of them."""

    kind: str
    connected: bool
    spread: str
    members: list[str]
    traffic: dict[str, int]
    problem: str


class DeploymentDocument(Document):
    """The deployment as a whole. `size`: instances that carry traffic, as wanted now, by the operator or by scaling;
    `pipes`: of each of them, likewise."""

    name: str
    function: str
    revision: int
    leader: bool
    size: int
    pipes: int
    minimum: int
    maximum: int
    spares: int
    scaling: bool
    settled: bool
    store: str
    problem: str


class EventDocument(Document):
    """Something that happened. `number` counts from 1, `time` is in seconds since 1970, `kind` a word like `steer`."""

    number: int
    time: float
    kind: str
    instance: str
    text: str


class Face(Protocol):
    """One deployment under one orchestrator."""

    def deployment(self) -> DeploymentDocument:
        """As it is now."""

    def instances(self) -> list[InstanceDocument]:
        """All that are known, ended ones too until they are forgotten."""

    def hosts(self) -> list[HostDocument]:
        """As measured last."""

    def steering(self) -> SteeringDocument:
        """As confirmed last."""

    def events(self, after: int = 0, most: int = 1000) -> Sequence[EventDocument]:
        """Those with numbers above `after`, oldest first."""

    def follow(self, after: int) -> AsyncIterator[EventDocument]:
        """Those with numbers above `after`, and then each as it happens."""

    async def scale(self, size: int | None) -> None:
        """This many instances from now on; None: scaling decides again. Refused outside minimum and maximum."""

    async def drain(self, name: str, drained: bool) -> None:
        """No traffic for that instance any more; or again."""

    async def kill(self, name: str) -> None:
        """SIGKILL to an instance: what a failure is like."""

    async def reload(self, text: str) -> int:
        """A new deployment file: rules are published, anything else replaces the instances one by one.

        Returns the revision. Raises ConfigError; then nothing has changed.
        """

    async def down(self) -> None:
        """Stops all instances, takes the steering away, forgets the deployment; then the orchestrator ends."""
