"""What is stopped, killed and forgotten.

Nothing that gets traffic, by what the switch has confirmed last, is touched: steering goes first, so nothing is lost.
The one exception: everybody is silent and no place is free. Then one of them is killed to make room, and no other one
until it is replaced: if it was the orchestrator that was cut off, most of the traffic still flows. Instances on a host
that cannot be reached are left for later.
"""

from __future__ import annotations

from itertools import chain

from statelessnf.orchestrator.model import Forget, Health, Kill, Sighting, Stop
from statelessnf.orchestrator.placing import allowed, places, wanted
from statelessnf.orchestrator.roster import Roster


def yielding(roster: Roster) -> Sighting | None:
    """The instance that goes before another one comes, since there is no place for both.

    One that is to be replaced, once all else is quiet. It leaves `minimum` carriers behind, unless it is of another
    revision and no place is free on any host, reachable or not: then there is no other way.
    """
    if not roster.worn_ones or not _stuck(roster):
        return None
    old = [one for one in roster.best if roster.worn(one) and one.place.host not in roster.out_of_reach]
    if len(roster.live) - 1 < roster.desired.minimum:
        no_other_way = not places(roster, waiting=True, unreachable=True)
        old = [one for one in old if one.revision != roster.desired.revision and no_other_way]
    return old[-1] if old else None


def _stuck(roster: Roster) -> bool:
    """Nothing is under way, and there is no place for a replacement, nor a drained instance that could make one."""
    if roster.size == 0 or roster.have > roster.needed or roster.coming or roster.doubted:
        return False
    return not _clearing(roster) and not roster.endable(roster.drained) and not places(roster, waiting=True)


def stops(roster: Roster, carrying: frozenset[str], yields: Sighting | None) -> list[Stop]:
    """Those to be asked to end; none as long as the switch has not said who gets traffic."""
    if roster.size == 0:
        present = chain(roster.live, roster.coming, roster.doubted, roster.drained, roster.failed)
        names = sorted(one.name for one in roster.endable(present))
        return [Stop(name, "the deployment goes down") for name in names]
    chosen = _surplus(roster, carrying)
    if roster.drained:
        chosen += _put_away(roster, carrying)
    if yields is not None and roster.endable([yields]):
        chosen.append(Stop(yields.name, "its place is needed for its replacement"))
    return chosen


def _surplus(roster: Roster, carrying: frozenset[str]) -> list[Stop]:
    """Those beyond what is needed, worst first. A live one goes only if enough other ones are live."""
    total, live = len(roster.best), len(roster.live)
    if total <= roster.needed:
        return []
    fresh = sum(not roster.worn(one) for one in roster.best)
    chosen: list[Stop] = []
    for one in roster.endable(reversed(roster.best)):
        worn, is_live = roster.worn(one), one.health is Health.live
        if total <= roster.needed:
            break
        if one.name in carrying or (is_live and live <= roster.needed) or (not worn and fresh <= roster.needed):
            continue
        chosen.append(Stop(one.name, _why(roster, one)))
        total, live, fresh = total - 1, live - is_live, fresh - (not worn)
    return chosen


def _why(roster: Roster, one: Sighting) -> str:
    if one.name in roster.faulty:
        return f"it was suspected {one.faults} times"
    if one.revision != roster.desired.revision:
        return f"it is of revision {one.revision}, and {roster.desired.revision} is wanted"
    if one.pipes != roster.desired.pipes:
        plural, are = "s" * (one.pipes != 1), "is" if roster.desired.pipes == 1 else "are"
        return f"it has {one.pipes} pipe{plural}, and {roster.desired.pipes} {are} wanted"
    return f"{roster.needed} are enough"


def _put_away(roster: Roster, carrying: frozenset[str]) -> list[Stop]:
    """Drained ones: those of another revision, and as many as there are too few places for others."""
    drained = [one for one in roster.ranked(roster.endable(roster.drained)) if one.name not in carrying]
    old = [one for one in drained if one.revision != roster.desired.revision]
    rest = [one for one in drained if one.revision == roster.desired.revision]
    room = min(allowed(roster), places(roster, waiting=True)) + _clearing(roster) + len(old)
    lacking = max(wanted(roster) - room, 0)
    chosen = [Stop(one.name, f"it is drained, and of revision {one.revision}") for one in old]
    return chosen + [Stop(one.name, "it is drained, and its place is wanted") for one in rest[::-1][:lacking]]


def _clearing(roster: Roster) -> int:
    """Places that will be free soon."""
    going = chain(roster.leaving, roster.failed)
    return len(roster.ended) + sum(one.place.host not in roster.out_of_reach for one in going)


def kills(roster: Roster, carrying: frozenset[str]) -> list[Kill]:
    """Those that do not answer. While nobody does: only those that never have."""
    if roster.size == 0:
        return []
    victims = [one for one in roster.endable(roster.failed) if one.name not in carrying]
    if roster.blind:
        victims = [one for one in victims if not roster.was_heard(one)] or _sacrifice(roster)
    return [Kill(one.name, _silence(roster, one)) for one in sorted(victims, key=lambda one: one.name)]


def _sacrifice(roster: Roster) -> list[Sighting]:
    """Everybody is silent, and there is no place to try another: the one that is worth least makes room."""
    elsewhere = roster.coming or roster.ended or roster.leaving or places(roster, waiting=True)
    if elsewhere or roster.observed.steered is None:
        return []
    some = [one for one in roster.silenced if one.place.host not in roster.out_of_reach]
    return sorted(some, key=lambda one: (one.name in roster.order, one.since, one.name))[:1]


def _silence(roster: Roster, one: Sighting) -> str:
    seconds = roster.observed.now - one.since
    if one.health is Health.starting:
        return f"it was started {seconds:.1f} s ago and has not been heard"
    return f"it has been silent for {seconds:.1f} s"


def forgets(roster: Roster) -> list[Forget]:
    """Those that have ended and get no traffic any more."""
    known = roster.observed.steered is not None
    names = sorted(one.name for one in roster.ended if known and one.name not in roster.order)
    return [Forget(name) for name in names]
