"""Every instance in the one group that says what may be done with it: what the rest of `plan` works on.

Each instance is in exactly one group. `have` counts what will carry or can; an instance that has failed, is leaving or
is drained is not among it, so a replacement is started for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

from statelessnf.orchestrator.model import Desired, Health, Observed, Sighting

NEVER = float("inf")


@dataclass(frozen=True)
class Roster:
    """What is wanted and seen, sorted. `size` is between minimum and maximum, or 0: all are to be stopped."""

    desired: Desired
    observed: Observed
    live: list[Sighting] = field(default_factory=list)  # can carry
    coming: list[Sighting] = field(default_factory=list)  # starting, and in time
    doubted: list[Sighting] = field(default_factory=list)  # suspected a moment ago: will be live again, or fail
    drained: list[Sighting] = field(default_factory=list)  # out of service by the operator's wish, but not failed
    failed: list[Sighting] = field(default_factory=list)  # silent for too long, whether suspected or never heard
    leaving: list[Sighting] = field(default_factory=list)  # asked to end
    ended: list[Sighting] = field(default_factory=list)

    @cached_property
    def size(self) -> int:
        """Instances that are to carry traffic."""
        desired = self.desired
        return min(max(desired.size, desired.minimum), desired.maximum) if desired.size > 0 else 0

    @property
    def needed(self) -> int:
        """Instances that are to be there: carriers and spares."""
        return self.size + self.desired.spares if self.size else 0

    @property
    def have(self) -> int:
        """Instances that carry, can carry, or will soon."""
        return len(self.live) + len(self.coming) + len(self.doubted)

    @cached_property
    def order(self) -> dict[str, int]:
        """Names in the confirmed steering, and their positions there."""
        return {name: position for position, name in enumerate(self.observed.steered or ())}

    @cached_property
    def willing(self) -> list[Sighting]:
        """Drained ones that are live: they carry where nobody else can."""
        return [one for one in self.drained if one.health is Health.live]

    @cached_property
    def silenced(self) -> list[Sighting]:
        """Those that failed after they had been heard, or that carry by what the switch says (adopted)."""
        return [one for one in self.failed if self.was_heard(one)]

    def was_heard(self, one: Sighting) -> bool:
        """Whether it worked once, as far as is known."""
        return one.health is not Health.starting or one.name in self.order

    @cached_property
    def blind(self) -> bool:
        """Nobody is heard, and some were: the orchestrator itself is more likely cut off than all of them dead."""
        silent = any(one.health is Health.suspected for one in chain(self.doubted, self.drained))
        return not self.live and not self.willing and (silent or bool(self.silenced))

    @cached_property
    def out_of_reach(self) -> frozenset[str]:
        """Hosts on which nothing can be done for now."""
        return frozenset(host.name for host in self.observed.hosts if not host.reachable)

    def endable(self, some: Iterable[Sighting]) -> list[Sighting]:
        """Those of them that get no traffic, as the switch confirmed last, and that can be reached."""
        if self.observed.steered is None:
            return []
        return [one for one in some if one.name not in self.order and one.place.host not in self.out_of_reach]

    @cached_property
    def faulty(self) -> frozenset[str]:
        """Live ones that were suspected too often. If most are, the cause is not with them: then none is faulty."""
        names = frozenset(one.name for one in self.live if one.faults >= self.desired.faults)
        return names if len(self.live) == 1 or 2 * len(names) <= len(self.live) else frozenset()

    def worn(self, one: Sighting) -> bool:
        """Whether it is to be replaced though it may work: unlike what is wanted, or suspected too often."""
        return one.revision != self.desired.revision or one.pipes != self.desired.pipes or one.name in self.faulty

    @cached_property
    def worn_ones(self) -> list[Sighting]:
        """Those of `have` that are to be replaced."""
        return [one for one in chain(self.live, self.coming, self.doubted) if self.worn(one)]

    @cached_property
    def best(self) -> list[Sighting]:
        """All that are live or coming, best first."""
        return self.ranked(chain(self.live, self.coming))

    def ranked(self, some: Iterable[Sighting]) -> list[Sighting]:
        """Best first: sound, of the wanted revision, with the wanted number of pipes, steered now and in that order,
        live, and so for the longest."""
        wanted, pipes, faulty, order = self.desired.revision, self.desired.pipes, self.faulty, self.order
        return sorted(
            some,
            key=lambda one: (
                one.name in faulty,
                one.revision != wanted,
                one.pipes != pipes,
                order.get(one.name, NEVER),
                one.health is not Health.live,
                one.since,
                one.name,
            ),
        )

    @cached_property
    def taken(self) -> frozenset[tuple[str, int]]:
        """Places in which something stands that is not forgotten."""
        return frozenset((one.place.host, one.place.slot) for one in self.observed.instances)


def roster(desired: Desired, observed: Observed) -> Roster:
    """Sort all instances."""
    groups = Roster(desired, observed)
    for one in observed.instances:
        _group(groups, one).append(one)
    return groups


def _group(groups: Roster, one: Sighting) -> list[Sighting]:
    if one.health is Health.ended:
        return groups.ended
    if one.stopping:
        return groups.leaving
    if groups.observed.now >= deadline(groups.desired, one):
        return groups.failed
    if one.drained:
        return groups.drained
    if one.health is Health.live:
        return groups.live
    return groups.coming if one.health is Health.starting else groups.doubted


def deadline(desired: Desired, one: Sighting) -> float:
    """When it will have failed unless it is heard; infinity: no such time."""
    if one.health is Health.starting:
        return one.since + desired.start_seconds
    return one.since + desired.replace_seconds if one.health is Health.suspected else NEVER
