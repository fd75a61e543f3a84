"""The baseline of invariant (a): one instance with records in its own memory, which need not race with anybody.

`Baseline.explains`: some order of the processed packets, in which each comes after those that had left when it
arrived and after those ahead of it in its pipe, makes it give the same verdicts, rewriting and releases. A FORWARD that
changed nothing need only follow what had left more than `stale_limit` before. A packet in flight, or lost with its
instance, may have had its effect or not; one whose commit's fate stayed unknown, and which was run again, may have had
it twice, as if the network had doubled it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from .functions import FORWARD, Outcome, partner
from .messages import State
from .moment import DROPPED, INSIDE, LEFT, LOST, PARKED, Trace
from .scenarios import Scenario

JUDGED = (LEFT, DROPPED, PARKED)
Table = frozenset[tuple[int, State, int]]  # key, state, deadline


class Baseline:
    """Searches the order in which one instance with records in its own memory gives the verdicts that were seen."""

    def __init__(self, scenario: Scenario, traces: tuple[Trace, ...], clock: int) -> None:
        self.scenario, self.traces, self.clock = scenario, traces, clock
        self.required = frozenset(p for p, t in enumerate(traces) if t.where in JUDGED)
        ghosts = frozenset(p for p, t in enumerate(traces) if t.where in (INSIDE, LOST))
        self.processed = self.required | ghosts
        self.twice = tuple(p for p, t in enumerate(traces) if t.twice)

    @staticmethod
    @cache
    def explains(scenario: Scenario, traces: tuple[Trace, ...], clock: int) -> bool:
        """Is there such an order?"""
        places = scenario.function.places
        table: Table = frozenset((k, r.state, r.deadline) for r in scenario.start for k in places(r.state))
        baseline = Baseline(scenario, traces, clock)
        return baseline.order(frozenset(), baseline.twice, table)

    def order(self, placed: frozenset[int], twice: tuple[int, ...], table: Table) -> bool:
        """Can the packets not yet `placed` follow, where `table` is what the baseline holds?"""
        if placed >= self.required:
            return True
        for p in sorted(self.processed - placed):
            if self.ready(p, placed):
                for outcome, after in self.steps(p, table):
                    if self.agrees(p, outcome) and self.order(placed | {p}, twice, after):
                        return True
        for p in twice:
            rest = tuple(q for q in twice if q != p)
            if any(self.order(placed, rest, after) for _, after in self.steps(p, table)):
                return True
        return False

    def ready(self, p: int, placed: frozenset[int]) -> bool:
        """Have all come that must come before, and none that must come after?"""
        trace, flow = self.traces[p], self.scenario.flow
        lags = trace.outcome is not None and trace.outcome.verdict == FORWARD and not trace.changed
        before = trace.long_seen if lags else trace.seen
        ahead = (q for q in trace.ahead if q in self.required and flow(q) == flow(p))
        overtaken = any(p in self.traces[q].ahead and flow(q) == flow(p) for q in placed)
        return not overtaken and placed.issuperset(before) and placed.issuperset(ahead)

    def agrees(self, p: int, outcome: Outcome) -> bool:
        """The same verdict, rewriting and releases; of a packet without an outcome nothing is known."""
        seen = self.traces[p].outcome
        return seen is None or seen._replace(state=None) == outcome._replace(state=None)

    def steps(self, p: int, table: Table) -> Iterator[tuple[Outcome, Table]]:
        """What the baseline may do with packet `p`, at any moment between its arrival and its leaving. Its own record
        may then have ended since it arrived (packet.now is the arrival), while others' are gone that ended since."""
        trace = self.traces[p]
        for now in range(trace.arrived, (self.clock if trace.outcome is None else trace.left) + 1):
            for began in {trace.arrived, now}:
                yield from self.process(p, began, now, {key: (state, end) for key, state, end in table})

    def process(self, p: int, began: int, now: int,
                held: dict[int, tuple[State, int]]) -> Iterator[tuple[Outcome, Table]]:  # fmt: skip
        """One packet. A refresh is due at a jittered part of the lifetime, so it may happen; near the end it must.
        A key of which a dead record is left (expired, or of a flow that moved) may be passed over as if taken."""
        function, packet = self.scenario.function, self.scenario.packets[p]
        key = function.key(packet)
        old, end = held.get(key, (None, 0))
        state = old if end > began else None
        for attempt in range(len(held) + 1):
            outcome = function.process(packet, state, attempt)
            other = [k for k in partner(function, key, outcome.state) if k not in partner(function, key, state)]
            ends = [held[k][1] for k in other if k in held]
            if outcome.state == state or not any(e > now for e in ends):
                yield from self.after(key, state, outcome, now, held)
            if outcome.state == state or not ends:
                return

    def after(self, key: int, state: State, outcome: Outcome, now: int,
              held: dict[int, tuple[State, int]]) -> Iterator[tuple[Outcome, Table]]:  # fmt: skip
        """The outcome, and what the baseline may hold then."""
        function = self.scenario.function
        fresh = now + function.lifetime(outcome.state)
        new = dict.fromkeys((key, *partner(function, key, outcome.state)), (outcome.state, fresh))
        if outcome.state == state:
            end = held[key][1] if state is not None else 0
            refreshable = state is not None and outcome.verdict == FORWARD and fresh > end
            if not (refreshable and self.scenario.refreshes and end - now <= 1):
                yield outcome, table_of(held)
            if refreshable:
                yield outcome, table_of({**held, **new})
            return
        left = {k: (state, now) for k in partner(function, key, state) if state is not None}
        yield outcome, table_of({**held, **left, **new})


def table_of(held: dict[int, tuple[State, int]]) -> Table:
    """Hashable form."""
    return frozenset((key, state, end) for key, (state, end) in held.items())
