"""A moment of the modelled world, frozen and hashable: one state of the search.

`Moment` is everything: store, two instances with their connections, packets, writes still in dead connections, clock.
What a packet met (`Trace`) is kept for the invariants alone; no instance reads it but for the packet's arrival time.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from .functions import Outcome
from .messages import Leave, Nonce, Push, Record, Reply, Request, Write
from .store import Store

OUTSIDE, INSIDE, NAMED, LOST = "outside", "in flight", "dropped under a name", "lost"
LEFT, DROPPED, PARKED = "left", "dropped", "parked"


class Doubt(NamedTuple):
    """A commit whose outcome is unknown: whom it would have released, and with what (rule 7)."""

    nonce: Nonce
    old: Record | None
    group: tuple[int, ...]
    outcomes: tuple[Outcome, ...]


class Flight(NamedTuple):
    """What a key waits for. `group`: packets that the request carries; `waiting`: came after it was sent."""

    phase: str  # look, again (a look-up after a refused creation of a pair), fetch, commit
    group: tuple[int, ...]
    waiting: tuple[int, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    writes: tuple[Write, ...] = ()
    left: tuple[Leave, ...] = ()  # the partner until now of a flow that moves
    conflicts: int = 0
    attempt: int = 0
    doubt: Doubt | None = None

    def touched(self) -> tuple[int, ...]:
        """Keys that the commit writes or deletes."""
        return (*(w.key for w in self.writes), *(leave.key for leave in self.left))


class Instance(NamedTuple):
    """One pipe and its one connection (rule 13). `cut`: the connection is dead and the instance has not noticed."""

    flights: tuple[Flight | None, ...]
    cache: tuple[Record | None, ...]
    alive: bool = True
    counter: int = 0
    trusted: int = 0  # send time of the last answered request (rule 14)
    cut: bool = False
    requests: tuple[Request, ...] = ()
    replies: tuple[Reply | Push, ...] = ()


class Trace(NamedTuple):
    """What happened to one packet. `seen`, `long_seen`, `ahead`: packets that had left when it arrived, had left by
    more than stale_limit, had arrived at the same instance before it."""

    where: str = OUTSIDE
    at: int = 0
    arrived: int = 0
    left: int = 0
    seen: tuple[int, ...] = ()
    long_seen: tuple[int, ...] = ()
    ahead: tuple[int, ...] = ()
    outcome: Outcome | None = None
    changed: bool = False
    gone: bool = False  # was parked and has left again before its own instance knew that it was parked
    twice: bool = False  # its commit's fate was unknown and it was run again


class Moment(NamedTuple):
    """One state of the search."""

    clock: int
    store: Store
    instances: tuple[Instance, ...]
    packets: tuple[Trace, ...]
    zombies: tuple[tuple[Request, ...], ...] = ()
    crashes: int = 0
    cuts: int = 0


Violation: TypeAlias = str


def settled(moment: Moment) -> bool:
    """Has every packet met its end?"""
    return all(t.where not in (OUTSIDE, INSIDE) for t in moment.packets)


def forget(moment: Moment) -> Moment:
    """Of a settled moment, drop what only (a) asked for: equal worlds become equal states."""
    return moment._replace(packets=tuple(Trace(t.where, outcome=t.outcome) for t in moment.packets))
