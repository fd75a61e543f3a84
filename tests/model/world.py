"""A thawed moment, in which one event happens: what the network, the store, faults and the clock do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .functions import DROP, PARK, Outcome
from .messages import Commit, KeepFrames, Nonce, Ping, Push, Reply, Request, Touch
from .moment import DROPPED, INSIDE, LEFT, LOST, NAMED, OUTSIDE, PARKED, Instance, Moment, Trace, Violation
from .store import execute, write

if TYPE_CHECKING:
    from .scenarios import Scenario


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
