"""The rules that every single plan keeps, whatever is seen."""

from __future__ import annotations

from collections.abc import Iterable

from statelessnf.orchestrator.carriers import SAME_SILENCE
from statelessnf.orchestrator.model import (
    Action,
    Desired,
    Forget,
    Health,
    Host,
    Kill,
    Observed,
    Sighting,
    Start,
    Steer,
    Stop,
)


def check(desired: Desired, observed: Observed, actions: tuple[Action, ...]) -> None:
    """Raises AssertionError."""
    known = {one.name: one for one in observed.instances}
    steers = [action for action in actions if isinstance(action, Steer)]
    assert len(steers) <= 1
    assert not steers or actions[0] is steers[0]
    members = steers[0].members if steers else observed.steered
    if steers:
        check_steering(desired, observed, steers[0].members, known)
    check_starts(desired, observed, [action for action in actions if isinstance(action, Start)])
    ends = [action for action in actions if isinstance(action, Stop | Kill)]
    assert len({action.name for action in ends}) == len(ends)
    check_ends(desired, observed, members or (), ends, known)
    for action in actions:
        if isinstance(action, Forget):
            assert known[action.name].health is Health.ended
            assert observed.steered is not None
            assert action.name not in (observed.steered or ())


def useful(some: Iterable[Sighting]) -> list[Sighting]:
    """Those that can carry."""
    return [one for one in some if one.health is Health.live and not one.drained and not one.stopping]


def wanted_size(desired: Desired) -> int:
    return min(max(desired.size, desired.minimum), desired.maximum) if desired.size else 0


def full(hosts: Iterable[Host], observed: Observed) -> bool:
    """Whether those hosts have no free place."""
    return all(there(host.name, observed) >= most_on(host) for host in hosts)


def there(host: str, observed: Observed) -> int:
    return sum(one.place.host == host for one in observed.instances)


def most_on(host: Host) -> int:
    """Instances that can be there at the same time."""
    return host.slots if host.most is None else min(host.slots, host.most)


def least_carriers(desired: Desired, observed: Observed) -> int:
    """Of those that can carry, so many must: all that are wanted; one less where replacements have no place."""
    able = useful(observed.instances)
    least = min(wanted_size(desired), len(able))
    if not full((host for host in observed.hosts if host.reachable), observed):
        return least
    if full(observed.hosts, observed) and any(one.revision != desired.revision for one in able):
        return least - 1
    return min(least, max(least - 1, desired.minimum))


def check_steering(desired: Desired, observed: Observed, members: tuple[str, ...], known: dict[str, Sighting]) -> None:
    """Nobody who is believed to be dead, as long as anybody is not; enough of them; and no needless change."""
    assert members != observed.steered
    assert len(set(members)) == len(members)
    if desired.size == 0:
        assert members == ()
        return
    chosen, able = [known[name] for name in members], useful(observed.instances)
    alive = [one for one in observed.instances if one.health is Health.live and not one.stopping]
    before = observed.steered or ()
    assert all(one.health is not Health.ended and not one.stopping for one in chosen)
    if able:
        adopted = [one for one in chosen if one.health is Health.starting and one.name in before]
        assert all(one in able or one in adopted for one in chosen)
        assert len(useful(chosen)) + len(adopted) >= least_carriers(desired, observed)
        assert len(chosen) <= wanted_size(desired)
    elif alive:
        assert chosen
        assert all(one.drained and one.health is Health.live for one in chosen)
    else:
        silent = [one for one in observed.instances if one.health is Health.suspected and not one.stopping]
        latest = max((one.since for one in silent if not one.drained), default=0.0)
        for one in chosen:
            again = one.health is Health.suspected and one.since >= latest - SAME_SILENCE and not one.drained
            assert one.name in before or again
    stay = [name for name in before if name in members]
    assert tuple(stay) == members[: len(stay)]


def check_starts(desired: Desired, observed: Observed, starts: list[Start]) -> None:
    """In places that are free and open, and not too many."""
    hosts = {host.name: host for host in observed.hosts}
    places = [start.place for start in starts]
    assert len(set(places)) == len(places)
    assert not {one.place for one in observed.instances} & set(places)
    for start in starts:
        host = hosts[start.place.host]
        assert host.reachable
        assert host.not_before <= observed.now
        assert 0 <= start.place.slot < host.slots
        assert (start.revision, start.pipes) == (desired.revision, desired.pipes)
        here = sum(place.host == host.name for place in places)
        assert there(host.name, observed) + here <= most_on(host)
    running = [
        one
        for one in observed.instances
        if not failed(desired, observed, one) and (not one.drained or hosts[one.place.host].reachable)
    ]
    replacing = any(unlike(desired, one) or one.faults >= desired.faults or one.drained for one in running)
    most = desired.maximum + desired.spares + replacing if desired.size else 0
    assert not starts or len(running) + len(starts) <= most


def unlike(desired: Desired, one: Sighting) -> bool:
    """Whether it is another one than would be started now."""
    return (one.revision, one.pipes) != (desired.revision, desired.pipes)


def failed(desired: Desired, observed: Observed, one: Sighting) -> bool:
    """Whether it is not counted any more."""
    silent = observed.now - one.since
    late = one.health is Health.suspected and (one.stopping or silent >= desired.replace_seconds)
    return one.health is Health.ended or late or (one.health is Health.starting and silent >= desired.start_seconds)


def check_ends(
    desired: Desired, observed: Observed, members: tuple[str, ...], ends: list[Stop | Kill], known: dict[str, Sighting]
) -> None:
    """Nobody who gets traffic or is to get it; enough are left; a live one is asked, a silent one killed."""
    reach = {host.name for host in observed.hosts if host.reachable}
    nobody = not any(one.health is Health.live and not one.stopping for one in observed.instances)
    for action in ends:
        one = known[action.name]
        assert one.health is not Health.ended
        assert not one.stopping
        assert one.place.host in reach
        assert observed.steered is not None
        if isinstance(action, Kill):
            assert failed(desired, observed, one)
            assert one.health is not Health.live
        if one.name in observed.steered or one.name in members:
            assert nobody
            assert isinstance(action, Kill)
            assert len(ends) == 1
            assert full((host for host in observed.hosts if host.reachable), observed)
    stopped = {action.name for action in ends}
    left = [one for one in useful(observed.instances) if one.name not in stopped]
    assert desired.size == 0 or len(left) >= least_carriers(desired, observed)
