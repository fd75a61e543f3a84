"""From what is wanted and what is seen to what is to be done: a pure function, the whole policy of the orchestrator.

`plan` never waits and remembers nothing: it is asked again whenever something changed, and at `due` if nothing did.
Applied again and again, its actions lead to a state in which it has none (tests/test_plan.py). It guarantees:

- Only live instances are steered to (carriers.py has the two exceptions: when nobody undrained, or nobody at all, is).
- What gets traffic, as the switch confirmed last, is not ended; what is to end loses its traffic first (ending.py).
- A place gets an instance only if nothing stands in it (placing.py).

Actions are in the order in which they are to be begun: steering is first. All may be applied at the same time, and
each may fail: the next plan sees what became of it. What is under way must be seen: a started instance is in
`Observed.instances` from the moment of its start, one that was asked to end is `stopping`. As long as the switch has
not said who gets traffic (`steered` is None), `Steer` is planned and nothing is ended.
"""

from __future__ import annotations

from statelessnf.orchestrator.carriers import carriers
from statelessnf.orchestrator.ending import forgets, kills, stops, yielding
from statelessnf.orchestrator.model import Action, Desired, Observed, Steer
from statelessnf.orchestrator.placing import starts
from statelessnf.orchestrator.roster import NEVER, deadline, roster


def plan(desired: Desired, observed: Observed) -> tuple[Action, ...]:
    """What is to be done now; nothing if all is as wanted, or as near to it as can be."""
    groups = roster(desired, observed)
    yields = yielding(groups)
    members = carriers(groups, yields)
    carrying = frozenset(members or ())
    steer = [Steer(members)] if members is not None and members != observed.steered else []
    return (
        *steer,
        *kills(groups, carrying),
        *stops(groups, carrying, yields),
        *forgets(groups),
        *starts(groups),
    )


def due(desired: Desired, observed: Observed) -> float:
    """When `plan` may say something else though nothing is seen to change; infinity: not before."""
    times = [deadline(desired, one) for one in observed.instances if not one.stopping]
    times += [host.not_before for host in observed.hosts]
    return min((time for time in times if time > observed.now), default=NEVER)
