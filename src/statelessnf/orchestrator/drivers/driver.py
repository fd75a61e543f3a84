"""The contract of a driver: it starts instances on one host, adopts those that run, and says when one has ended.

Everything is asyncio, and nothing blocks the loop. A driver keeps nothing that matters: a handle, a string that the
orchestrator keeps in the store, is all that it needs to adopt an instance that another orchestrator has started.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field

INSTANCE_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"  # also a part of file names, container names and URLs
InstanceName = Annotated[str, Field(pattern=INSTANCE_NAME)]


class Slot(BaseModel):
    """The ports of a place. `inside` and `outside`: DPDK device arguments, as the instance itself will see them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    inside: str
    outside: str
    switch_inside: str  # names of the switch's ports to which the two sides lead
    switch_outside: str
    namespace: str | None = None  # network namespace (under /run/netns) that has the interfaces; None: the host's own
    interfaces: tuple[str, ...] = Field(default=(), strict=False)  # a container's, moved there as long as it runs


class BeatOrder(BaseModel):
    """Where an instance's pipes send their beats (beats.py)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    targets: tuple[str, ...]  # "ADDRESS:PORT", "[ADDRESS]:PORT": one of each orchestrator
    token: str  # 32 hex digits: who the instance is; known to it and to the orchestrators only
    interval_ms: int = 5


class Order(BaseModel):
    """What an instance is to be: `snf run FILE --order PATH` reads it from a private file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: InstanceName
    revision: int
    inside: str  # DPDK device arguments, in place of the deployment file's
    outside: str
    pipes: int
    beats: BeatOrder


@dataclass(frozen=True)
class Launch:
    """One start: the order for the instance, and what the driver needs beside it."""

    order: Order
    document: str  # text of the deployment file
    slot: Slot
    number: int  # of the slot on its host
    cores: tuple[int, ...] = ()  # processors that it may use; none: any
    memory_mb: int = 0  # at most; 0: no limit


@dataclass(frozen=True)
class Capacity:
    """What a host has, measured there."""

    cores: tuple[int, ...]
    memory_mb: int
    interfaces: tuple[str, ...]  # those of a namespace as NAMESPACE/NAME; none at all: the host cannot be asked
    limits_memory: bool = True  # whether `Launch.memory_mb` is enforced there


IsKnown = Callable[[str], bool]  # name of an instance; called in any thread
Ended = Callable[[str, str], None]  # name of the instance, why it ended, if that is known
Doomed = Callable[[str], None]  # name of the instance


class Driver(Protocol):
    """Starts and ends instances on one host. Every method raises DriverError: what failed, where, what to do."""

    async def open(self, ended: Ended) -> None:
        """Begins; from now on `ended` is called, within the event loop, once for each instance that ends.

        A host out of reach is no error: it is tried again and again, and `reachable` tells. Instances that ended
        meanwhile are reported as soon as it is back.
        """

    @property
    def reachable(self) -> bool:
        """Whether the host answers, as far as is known now."""

    async def capacity(self) -> Capacity:
        """Measured now."""

    async def start(self, launch: Launch) -> str:
        """Starts the instance, and returns its handle at once; that it works is what its beats say.

        What was half made is taken down before an error is raised.
        """

    async def adopt(self, name: str, handle: str) -> bool:
        """Watches an instance that runs already. False: there is no such instance any more.

        An empty handle is that of a start whose end nobody knows: the instance is looked for by its name.
        """

    def watch_pipes(self, name: str, doomed: Doomed) -> None:
        """The instance works: `doomed` is called, within the event loop, as soon as one of its pipes has ended.

        That is sooner than the end of the instance. Where it cannot be seen, nothing happens.
        """

    async def sweep(self, document: str, known: IsKnown) -> Sequence[str]:
        """Ends instances of that deployment (text of its file) that are not `known`, at once. Returns their names.

        An orchestrator that was killed has left them, with a store that ended before they had come to use it. They have
        ended when this returns. What is being started meanwhile is to be known before its `start` is called.
        """

    async def stop(self, name: str) -> None:
        """SIGTERM; after `STOP_SECONDS` SIGKILL. Does not wait for the end: `ended` tells. Nothing if it has ended."""

    async def kill(self, name: str) -> None:
        """SIGKILL, also to one that is stopped (SIGSTOP) or paused. Nothing if it has ended."""

    async def close(self) -> None:
        """Lets go of everything; instances run on."""


STOP_SECONDS = 5.0
