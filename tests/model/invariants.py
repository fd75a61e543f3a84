"""The invariants (a) to (e) of the protocol and (f), whole pairs, executable.

(a) `unexplained`: a baseline instance would have done the same (baseline.py).
(b) `ghost_lost`: no commit replaces a live record that it was not computed from. (c) `shared`: no outer port has two
live flows. (d) is judged by `World.release`. (e) `unaccounted`: a quiet world holds no packet, and what a record lists
as parked is in the store. (f) `halved`, what rule 5 is for: all keys that a live record names hold it, and no others.
"""

from __future__ import annotations

from collections.abc import Iterator

from .baseline import Baseline
from .messages import Record
from .moment import INSIDE, LEFT, PARKED, Moment, Violation
from .pairs import Pair
from .scenarios import Scenario


def unexplained(scenario: Scenario, moment: Moment) -> list[Violation]:
    """(a). Packets are judged together: a NAT's flows share its ports."""
    if Baseline.explains(scenario._replace(off=frozenset()), moment.packets, moment.clock):
        return []
    return ["(a) no order of the packets explains their verdicts"]


def broken(scenario: Scenario, moment: Moment) -> list[Violation]:
    """What this moment violates, but for (a)."""
    found = []
    if moment.store.ghost_lost is not None:
        found.append(f"(b) commit {moment.store.ghost_lost} was overwritten unseen")
    if shared(scenario, moment):
        found.append("(c) two live flows share an outer port")
    if halved(scenario, moment):
        found.append("(f) a live record stands under a key that it does not name, or not under all that it names")
    return found + (unaccounted(scenario, moment) if quiet(moment) else [])


def shared(scenario: Scenario, moment: Moment) -> bool:
    """(c): live records of two flows with the same port; where no flow can end, packets of two that left with it."""
    flows: dict[int, set[int]] = {}
    for _, record in live(moment):
        if isinstance(record.state, Pair):
            flows.setdefault(record.state.port, set()).add(record.state.flow)
    for packet, trace in zip(scenario.packets, moment.packets, strict=True):
        if packet.kind == "out" and trace.where == LEFT and trace.outcome is not None and not scenario.ticks:
            flows.setdefault(trace.outcome.rewrite, set()).add(packet.number)
    return any(len(found) > 1 for found in flows.values())


def halved(scenario: Scenario, moment: Moment) -> bool:
    """(f). Both keys change in one step, so this holds at every moment."""
    for key, record in live(moment):
        places = scenario.function.places(record.state)
        if key not in places or any(moment.store.records[k] != record for k in places):
            return True
    return False


def live(moment: Moment) -> Iterator[tuple[int, Record]]:
    """What the store holds that is not past its deadline."""
    for key, record in enumerate(moment.store.records):
        if record is not None and record.deadline > moment.clock:
            yield key, record


def quiet(moment: Moment) -> bool:
    """Nothing is under way at any living instance, nor in a dead connection."""
    return not moment.zombies and not any(i.requests or i.replies or i.cut for i in moment.instances if i.alive)


def unaccounted(scenario: Scenario, moment: Moment) -> list[Violation]:
    """(e)."""
    found = [f"(e) packet {p} is held for ever" for p, t in enumerate(moment.packets) if t.where == INSIDE]
    listed = set()
    for record in moment.store.records:
        if record is not None and isinstance(record.state, tuple) and record.state[0] == "next":
            listed = set(record.state[2]) if isinstance(record.state[2], frozenset) else set()
    found += [f"(e) frame {n} is listed but lost" for n in sorted(listed - moment.store.frames)]
    killed = any(not i.alive for i in moment.instances)
    for p, t in enumerate(moment.packets):
        if t.where == PARKED and scenario.packets[p].number not in listed and not killed:
            found.append(f"(e) packet {p} is parked and no record lists it")
    return found
