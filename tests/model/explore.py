"""The search: every interleaving of a scenario, breadth first, so that what it finds is a shortest counterexample.

States are kept whole (no hash compaction), so "none found" means none. Symmetry: the two instances start alike, so the
first packet comes to instance 0 and faults strike only after it; equal packets arrive in the order of their numbers. A
fault strikes only who has something to lose (else the run is one in which that instance gets no more packets), and
neither fault nor tick comes after the last packet has met its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from .invariants import broken, unexplained
from .moment import OUTSIDE, Moment, Violation, forget, settled
from .replies import Engine
from .scenarios import Scenario
from .world import World

ARRIVE, SERVE, TAKE = "arrives", "the store serves a request", "takes a reply or push"
KILL, CUT, NOTICE = "is killed", "loses its connection", "notices the lost connection"
LATE, EXPIRE, TICK = "a write from a dead connection lands", "the store drops an expired record", "a tick"
NOBODY = (LATE, EXPIRE, TICK)


class Event(NamedTuple):
    """What happens next. `who`: instance, or which of several; `packet`: of an arrival."""

    what: str
    who: int = 0
    packet: int = 0

    def told(self, scenario: Scenario) -> str:
        """For people."""
        if self.what == ARRIVE:
            kind, number = scenario.packets[self.packet]
            return f"packet {self.packet} ({kind} {number}) arrives at {'AB'[self.who]}"
        if self.what in NOBODY:
            return self.what
        return f"{'AB'[self.who]}: {self.what}"


class Finding(NamedTuple):
    """Result of a search. `violation` None: none in any of the `states`."""

    states: int
    violation: Violation | None
    path: tuple[Event, ...]

    def told(self, scenario: Scenario) -> str:
        """The counterexample, one event a line."""
        steps = [f"  {i}. {event.told(scenario)}" for i, event in enumerate(self.path, 1)]
        return "\n".join([*steps, f"  => {self.violation}"])


def explore(scenario: Scenario, judged: str = "abcdef") -> Finding:
    """Search everything, or until the first violation of an invariant that is `judged`."""
    first = scenario.first()
    came: dict[Moment, tuple[Moment, Event] | None] = {first: None}
    frontier = [first]
    while frontier:
        following = []
        for moment in frontier:
            for event in events(scenario, moment):
                world = World(scenario, moment)
                apply(world, event)
                after = world.freeze()
                found = world.violations + (unexplained(scenario, after) if world.judged else [])
                after = forget(after) if settled(after) else after
                step = (moment, event)
                if came.setdefault(after, step) is step:
                    found += broken(scenario, after)
                    following.append(after)
                found = [violation for violation in found if violation[1] in judged]
                if found:
                    return Finding(len(came), found[0], (*path(came, moment), event))
        frontier = following
    return Finding(len(came), None, ())


def path(came: dict[Moment, tuple[Moment, Event] | None], moment: Moment) -> tuple[Event, ...]:
    """The events that led to `moment`."""
    steps = []
    while (step := came[moment]) is not None:
        moment, event = step
        steps.append(event)
    return tuple(reversed(steps))


def events(scenario: Scenario, moment: Moment) -> Iterator[Event]:
    """All that can happen now."""
    yield from arrivals(scenario, moment)
    for who, i in enumerate(moment.instances):
        if i.requests:
            yield Event(SERVE, who)
        if i.replies:
            yield Event(TAKE, who)
        if i.cut and i.alive:
            yield Event(NOTICE, who)
    for index in range(len(moment.zombies)):
        yield Event(LATE, index)
    for key, record in enumerate(moment.store.records):
        if record is not None and record.deadline <= moment.clock:
            yield Event(EXPIRE, key)
    if not settled(moment):
        if moment.clock < scenario.ticks:
            yield Event(TICK)
        yield from faults(moment)


def arrivals(scenario: Scenario, moment: Moment) -> Iterator[Event]:
    """Packets that may come, and where."""
    nothing_yet = all(t.where == OUTSIDE for t in moment.packets)
    for p, trace in enumerate(moment.packets):
        earlier = scenario.packets[:p]
        twin = any(q == scenario.packets[p] and moment.packets[n].where == OUTSIDE for n, q in enumerate(earlier))
        early = scenario.in_order and any(t.where == OUTSIDE for t in moment.packets[:p])
        if trace.where == OUTSIDE and not twin and not early:
            for who, instance in enumerate(moment.instances[: 1 if nothing_yet else 2]):
                if instance.alive:
                    yield Event(ARRIVE, who, p)


def faults(moment: Moment) -> Iterator[Event]:
    """Crash and lost connection, once something has come."""
    if all(t.where == OUTSIDE for t in moment.packets):
        return
    for who, i in enumerate(moment.instances):
        busy = i.requests or i.replies or any(i.flights)
        if i.alive and moment.crashes and busy:
            yield Event(KILL, who)
        if i.alive and moment.cuts and not i.cut and (busy or any(i.cache)):
            yield Event(CUT, who)


def apply(world: World, event: Event) -> None:
    """Let one event happen."""
    acts: dict[str, Callable[[], None]] = {
        ARRIVE: lambda: Engine(world, event.who).arrive(event.packet),
        SERVE: lambda: world.serve(event.who),
        TAKE: lambda: Engine(world, event.who).deliver(),
        NOTICE: lambda: Engine(world, event.who).reconnect(),
        LATE: lambda: world.serve_zombie(event.who),
        EXPIRE: lambda: world.expire(event.who),
        TICK: world.tick,
        KILL: lambda: world.crash(event.who),
        CUT: lambda: cut(world, event.who),
    }
    acts[event.what]()


def cut(world: World, who: int) -> None:
    """The connection dies; unless it is half open, the instance sees it at once."""
    world.cuts -= 1
    world.abandon(who)
    if not world.scenario.half_open:
        Engine(world, who).reconnect()
