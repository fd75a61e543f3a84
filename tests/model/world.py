"""A moment of the modelled world, frozen and hashable, and its thawed form in which one event happens.

`Moment` is everything: store, two instances with their connections, packets, writes still in dead connections, clock.
What a packet met (`Trace`) is kept for the invariants alone; no instance reads it but for the packet's arrival time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .functions import DROP, PARK, Outcome
from .store import (
    Commit,
    KeepFrames,
    Leave,
    Nonce,
    Ping,
    Push,
    Record,
    Reply,
    Request,
    Store,
    Touch,
    Write,
    execute,
    write,
)

if TYPE_CHECKING:
    from .scenarios import Scenario

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
    left: tuple[Leave, ...] = ()  # the partner until now of a flow that gets another
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


class World:
    """A thawed moment. Instances act on it through `send`, `release` and `lose`; broken rules land in `violations`."""

    def __init__(self, scenario: Scenario, moment: Moment) -> None:
        self.scenario = scenario
        self.clock, self.store = moment.clock, moment.store
        self.instances, self.packets = list(moment.instances), list(moment.packets)
        self.zombies = list(moment.zombies)
        self.crashes, self.cuts = moment.crashes, moment.cuts
        self.violations: list[Violation] = []
        self.judged = False  # some packet got its outcome in this step

    def freeze(self) -> Moment:
        """The moment after the event."""
        return Moment(self.clock, self.store, tuple(self.instances), tuple(self.packets),
                      tuple(self.zombies), self.crashes, self.cuts)  # fmt: skip

    def change(self, who: int, **fields: object) -> None:
        """Replace fields of one instance."""
        self.instances[who] = self.instances[who]._replace(**fields)  # type: ignore[arg-type]  # the names are checked at run time

    def send(self, who: int, request: Request) -> None:
        """Put a request on the wire; into a dead connection it goes unnoticed."""
        if not self.instances[who].cut:
            self.change(who, requests=(*self.instances[who].requests, request))

    def serve(self, who: int) -> None:
        """The store carries out the oldest request of one connection."""
        request, *rest = self.instances[who].requests
        self.store, reply, pushes = execute(self.store, request, who, self.clock)
        wanted = not isinstance(request, (Touch, KeepFrames))
        replies = self.instances[who].replies
        self.change(who, requests=tuple(rest), replies=(*replies, reply) if wanted else replies)
        self.push(pushes)

    def push(self, pushes: tuple[tuple[int, int], ...]) -> None:
        """Invalidations take their place in the wire order of each connection."""
        for who, key in pushes:
            self.change(who, replies=(*self.instances[who].replies, Push(key)))

    def serve_zombie(self, index: int) -> None:
        """The store meets a write that was still in a dead connection."""
        request, *rest = self.zombies.pop(index)
        self.store, _, pushes = execute(self.store, request, -1, self.clock)
        if rest:
            self.zombies.append(tuple(rest))
        self.push(pushes)

    def expire(self, key: int) -> None:
        """The store's garbage collection of a record past its deadline."""
        self.store, pushes = write(self.store, key, None, -1)
        self.push(pushes)

    def abandon(self, who: int) -> None:
        """A connection dies on the store's side: writes in it may still be met, replies are gone, tracking ends."""
        writes = tuple(r for r in self.instances[who].requests if isinstance(r, (Commit, Touch, KeepFrames)))
        if writes:
            self.zombies.append(writes)
        self.store = self.store._replace(tracked=frozenset(t for t in self.store.tracked if t[0] != who))
        self.change(who, requests=(), replies=(), cut=True)

    def crash(self, who: int) -> None:
        """kill -9: what the instance held is lost with it."""
        self.crashes -= 1
        self.abandon(who)
        keys = self.scenario.function.keys
        self.instances[who] = Instance((None,) * keys, (None,) * keys, alive=False)
        for p, trace in enumerate(self.packets):
            if trace.where == INSIDE and trace.at == who:
                self.packets[p] = trace._replace(where=LOST)

    def tick(self) -> None:
        """Time passes; idle instances ask whether their connection still lives (rule 14). The PING is served at once:
        its answer then promises least, so later service need not be searched."""
        self.clock += 1
        for who, instance in enumerate(self.instances):
            idle = not instance.requests and not any(isinstance(r, Reply) for r in instance.replies)
            if instance.alive and idle and not instance.cut and any(instance.cache):
                self.send(who, Ping(self.clock))
                self.serve(who)

    def arrive(self, packet: int, who: int) -> None:
        """Ghost part of an arrival: what had already left decides the order that (a) allows."""
        done = [p for p, t in enumerate(self.packets) if t.where in (LEFT, DROPPED, PARKED)]
        limit, cache = self.scenario.stale_limit, self.scenario.cache
        self.packets[packet] = Trace(
            INSIDE, who, self.clock, 0,
            tuple(done),
            tuple(p for p in done if not cache or (limit is not None and self.packets[p].left + limit < self.clock)),
            tuple(p for p, t in enumerate(self.packets) if t.where != OUTSIDE and t.at == who),
        )  # fmt: skip

    def release(self, packet: int, outcome: Outcome, depends: Nonce | None, changed: bool) -> None:
        """A packet gets its outcome: it leaves, is dropped or is parked. Checks (d) and the order within a pipe."""
        trace = self.packets[packet]
        if depends is not None and depends not in self.store.ghost_committed:
            self.violations.append(f"(d) packet {packet} left before the commit {depends} on which it depends")
        flow = self.scenario.flow
        if any(self.packets[p].where == INSIDE and flow(p) == flow(packet) for p in trace.ahead):
            self.violations.append(f"(a) packet {packet} overtook another in its pipe")
        where = {DROP: DROPPED, PARK: LEFT if trace.gone else PARKED}.get(outcome.verdict, LEFT)
        known = outcome._replace(state=None)
        self.packets[packet] = trace._replace(where=where, left=self.clock, outcome=known, changed=changed)
        for p, other in enumerate(self.packets):
            if self.scenario.packets[p].number in outcome.release and other.where in (PARKED, INSIDE):
                self.packets[p] = other._replace(where=LEFT) if other.where == PARKED else other._replace(gone=True)
        self.judged = True

    def name_drop(self, packet: int) -> None:
        """A drop of the engine's own, under a name."""
        self.packets[packet] = self.packets[packet]._replace(where=NAMED)
