"""What is wanted, what is seen, what is done: values that never change, and nothing else.

Times are seconds of the monotonic clock. An instance is named for good by the orchestrator that started it; a place is
where one can run, and holds at most one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, order=True)
class Place:
    """Slot `slot` (from 0) of host `host`: cores, memory and two ports of the switch that wait for an instance."""

    host: str
    slot: int


class Health(StrEnum):
    """What is believed of an instance."""

    starting = "starting"  # started, and no beat yet that says it has its store
    live = "live"  # its pipes beat
    suspected = "suspected"  # a pipe has been silent for longer than the limit
    ended = "ended"  # its process or container has ended


@dataclass(frozen=True)
class Load:
    """Of an instance, over the last half second or so."""

    utilisation: float = 0.0  # of its busiest pipe, 0 to 1
    receive_drops: float = 0.0  # packets a second that its ports dropped for want of a free buffer
    latency_us: float = 0.0  # mean time of a packet within the instance
    packets: float = 0.0  # received a second, both sides
    work: float = 0.0  # of all its pipes: the sum of their utilisations


@dataclass(frozen=True)
class Sighting:
    """One instance as it is seen."""

    name: str
    place: Place
    revision: int  # of the deployment with which it was started
    health: Health
    since: float  # when its health became what it is
    load: Load = field(default_factory=Load)
    drained: bool = False  # the operator wants no traffic on it
    faults: int = 0  # suspicions within the last minutes
    stopping: bool = False  # its driver was asked to stop or kill it, and did not refuse
    pipes: int = 1  # with which it was started


@dataclass(frozen=True)
class Host:
    """A host as it is seen: its slots, how many of them can have an instance at the same time, and from when on one
    may be started again."""

    name: str
    slots: int
    reachable: bool = True
    not_before: float = 0.0  # back-off after starts that failed; 0: at once
    most: int | None = None  # instances that its cores and memory are enough for; None: one in each slot


@dataclass(frozen=True)
class Observed:
    """All that `plan` may know of the world."""

    now: float
    hosts: tuple[Host, ...] = ()
    instances: tuple[Sighting, ...] = ()  # ended ones until they are forgotten
    steered: tuple[str, ...] | None = None  # names that get traffic, in order; None: the switch has not said so yet


@dataclass(frozen=True)
class Desired:
    """What the operator, and the scaling policy, want."""

    size: int  # instances that carry traffic; 0: all are to be stopped
    spares: int = 0  # further ones that run, beat and wait
    minimum: int = 1
    maximum: int = 1
    revision: int = 1  # instances of another one are replaced, one by one
    start_seconds: float = 10.0  # an instance without a beat after so long has failed
    replace_seconds: float = 1.0  # one that has been suspected for so long gets a replacement, and is killed
    faults: int = 3  # so many suspicions, and it is replaced as soon as another one can carry its traffic
    pipes: int = 1  # of each instance; those with another number are replaced, one by one


@dataclass(frozen=True)
class Steer:
    """These instances get the traffic from now on, in equal shares; nobody else does."""

    members: tuple[str, ...]


@dataclass(frozen=True)
class Start:
    """An instance of `revision`, with so many pipes, is started in `place`."""

    place: Place
    revision: int
    pipes: int


@dataclass(frozen=True)
class Stop:
    """The instance gets no traffic any more and is asked to end."""

    name: str
    why: str


@dataclass(frozen=True)
class Kill:
    """The instance does not answer, and its place is wanted: SIGKILL."""

    name: str
    why: str


@dataclass(frozen=True)
class Forget:
    """The instance has ended, and its place is free."""

    name: str


Action = Steer | Start | Stop | Kill | Forget
