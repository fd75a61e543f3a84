"""What is started, and where.

As many as are missing to `size` and spares; and one more while instances are to be replaced, so that the new one can
carry before the old one goes. A place is free when nothing stands in it that is not forgotten, and its host has cores
and memory for one instance more. Instances are spread
evenly over hosts; hosts with silent instances come last, since they may be dead.
"""

from __future__ import annotations

from collections import Counter
from heapq import heapify, heappop, heappush
from itertools import chain

from statelessnf.orchestrator.model import Health, Host, Place, Start
from statelessnf.orchestrator.roster import Roster


def wanted(roster: Roster) -> int:
    """Instances to be started now, were there places and no limit.

    While nobody is heard, only one is started to see whether it is, beside those known to be missing.
    """
    if roster.size == 0:
        return 0
    missing = roster.needed - roster.have
    if roster.blind:
        return max(missing - len(roster.silenced), 0 if roster.coming else min(missing, 1))
    alone = not roster.coming and not roster.doubted
    return 1 if missing == 0 and alone and roster.worn_ones else max(missing, 0)


def allowed(roster: Roster) -> int:
    """Instances that may be started: up to maximum and spares; and one more while one that works is replaced.

    Not counted are those that have failed, leaving ones that are silent, and drained ones on hosts that cannot be
    reached: they may stay for good.
    """
    leaving = sum(one.health is not Health.suspected for one in roster.leaving)
    drained = sum(one.place.host not in roster.out_of_reach for one in roster.drained)
    running = roster.have + drained + leaving
    replacing = roster.worn_ones or (roster.willing and not roster.live)
    most = roster.desired.maximum + roster.desired.spares + (1 if replacing else 0)
    return max(most - running, 0)


def places(roster: Roster, *, waiting: bool, unreachable: bool = False) -> int:
    """Free places. `waiting`: with those that a back-off keeps shut for now; `unreachable`: on such hosts too."""
    return sum(len(slots) for slots in free_slots(roster, waiting=waiting, unreachable=unreachable).values())


def free_slots(roster: Roster, *, waiting: bool = False, unreachable: bool = False) -> dict[str, list[int]]:
    """Free slots by host, the highest first: no more than the host can still have instances."""
    there = Counter(name for name, _ in roster.taken)
    return {
        host.name: _free(host, roster.taken, there[host.name])
        for host in roster.observed.hosts
        if (host.reachable or unreachable) and (waiting or _open(host, roster))
    }


def starts(roster: Roster) -> list[Start]:
    """The starts of this round."""
    most = min(wanted(roster), allowed(roster))
    if most == 0:
        return []
    slots = {host: free for host, free in free_slots(roster).items() if free}
    used = Counter(one.place.host for one in chain(roster.live, roster.coming, roster.doubted, roster.drained))
    silent = {one.place.host for one in chain(roster.doubted, roster.silenced)}
    heap = [(host in silent, used[host], host) for host in slots]
    heapify(heap)
    made: list[Start] = []
    while heap and len(made) < most:
        silence, load, host = heappop(heap)
        made.append(Start(Place(host, slots[host].pop()), roster.desired.revision, roster.desired.pipes))
        if slots[host]:
            heappush(heap, (silence, load + 1, host))
    return made


def _free(host: Host, taken: frozenset[tuple[str, int]], there: int) -> list[int]:
    free = [slot for slot in range(host.slots - 1, -1, -1) if (host.name, slot) not in taken]
    if host.most is None:
        return free
    return free[len(free) - min(max(host.most - there, 0), len(free)) :]


def _open(host: Host, roster: Roster) -> bool:
    return host.not_before <= roster.observed.now
