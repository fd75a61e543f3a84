"""What is seen of the instances, put together from who sees it: drivers, beats, and the switch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from statelessnf.orchestrator.beats import Beat
from statelessnf.orchestrator.drivers.driver import Slot
from statelessnf.orchestrator.host_watch import WatchedHost
from statelessnf.orchestrator.known import Known, KnownInstances
from statelessnf.orchestrator.loads import Loads
from statelessnf.orchestrator.model import Health, Load, Place, Sighting
from statelessnf.orchestrator.state import Entry
from statelessnf.orchestrator.steering.steering import Member, Steering
from statelessnf.orchestrator.suspicion import Suspicion

_NONE = Load()
_Told = tuple[Entry, Health, float, Load, int, bool]


class Sightings:
    """Of one deployment. An instance whose port the switch calls down is suspected, whatever its beats say."""

    def __init__(self, name: str, hosts: Mapping[str, WatchedHost], steering: Steering, limit: float) -> None:
        self.known = KnownInstances(name)
        self.suspicion = Suspicion(limit)
        self.loads = Loads()
        self._hosts, self._steering = hosts, steering
        self.capacity = 0.0  # packets/s that make a pipe fully utilised; 0: pipes say how much they are
        self._cut: dict[str, float] = {}  # by name: since when the switch says so
        self._told: dict[str, tuple[_Told, Sighting]] = {}  # by name: what `all` said last, and from what

    def add(self, entry: Entry, now: float, *, adopted: bool) -> Known:
        """One that is about to be started, or one of a predecessor's, which is taken for live until it is silent."""
        self.suspicion.watch(entry.name, entry.pipes, now, adopted=adopted)
        return self.known.add(entry)

    def worked(self, name: str, now: float) -> float:
        """Seconds for which it has been live, if it is."""
        if name not in self.known:
            return 0.0
        health, since = self.suspicion.health(name)
        return now - since if health is Health.live else 0.0

    def ended(self, name: str, why: str, now: float) -> Known | None:
        """Its driver says so. None: that was known, or there is no such instance."""
        if not self.suspicion.ended(name, now):
            return None
        known = self.known[name]
        known.ended = why
        return known

    def forget(self, name: str) -> None:
        """It is gone."""
        for forget in (self.known.remove, self.suspicion.forget, self.loads.forget):
            forget(name)
        self._cut.pop(name, None)
        self._told.pop(name, None)

    def heard(self, token: bytes, beat: Beat, now: float) -> bool:
        """A beat. Whether anybody's health may have changed by it: then `suspicion.look` tells."""
        name = self.known.name_of(token)
        if name is None:
            return False
        self.known[name].sent[beat.pipe] = beat.sequence
        self.loads.heard(name, beat, now)
        return self.suspicion.heard(name, beat.pipe, beat.pipes, beat.available, now)

    def switch_changed(self, now: float) -> None:
        """The switch says of other ports that they are down or gone."""
        lost = self._steering.lost
        for known in self.known:
            name, member = known.entry.name, self.member(known.entry.name)
            if member is None or not lost & {member.inside, member.outside}:
                self._cut.pop(name, None)
            else:
                self._cut.setdefault(name, now)

    def member(self, name: str) -> Member | None:
        """Its ports of the switch; None: there is no such instance, or no such place any more."""
        known = self.known.get(name)
        slot = None if known is None else self._slot(known)
        return None if slot is None else Member(slot.switch_inside, slot.switch_outside)

    def _slot(self, known: Known) -> Slot | None:
        host = self._hosts.get(known.entry.host)
        slots = () if host is None else host.section.slots
        return slots[known.entry.slot] if known.entry.slot < len(slots) else None

    def all(self, now: float) -> Iterator[Sighting]:
        """Each of them, now."""
        for known in self.known:
            yield self._seen(known, now)

    def _seen(self, known: Known, now: float) -> Sighting:
        """The very value of last time, if nothing of it has changed: there may be hundreds, ten times a second."""
        entry, name = known.entry, known.entry.name
        health, since = self.suspicion.health(name)
        if health is Health.live and name in self._cut:
            health, since = Health.suspected, self._cut[name]
        told = (entry, health, since, self._load(entry, now), self.suspicion.faults(name, now), known.ending)
        before = self._told.get(name)
        if before is None or before[0] != told:
            before = self._told[name] = told, _sighting(known.place, *told)
        return before[1]

    def _load(self, entry: Entry, now: float) -> Load:
        load = self.loads.of(entry.name, now) or _NONE
        if self.capacity == 0:
            return load
        each = min(1.0, load.packets / self.capacity / entry.pipes)
        return replace(load, utilisation=each, work=each * entry.pipes)


def _sighting(
    place: Place, entry: Entry, health: Health, since: float, load: Load, faults: int, ending: bool
) -> Sighting:
    return Sighting(entry.name, place, entry.revision, health, since, load, entry.drained, faults, ending, entry.pipes)
