"""What one instance has outstanding for each key, and its cache: the ground that its requests and replies share.

Guarantees rule 12 for both keys of a pair: while an own commit that touches a key is unanswered, nothing fills that
key's entry. Answers come in wire order, so this bars exactly the reads that were requested before the commit: an own
write, also inside a Function, ended their tracking without a push.
"""

from __future__ import annotations

from .messages import Record
from .moment import Flight
from .world import World

EMPTY: tuple[int, ...] = ()


class Outstanding:
    """Instance `who` of `world`; it knows the store only through requests and replies, and never another instance."""

    def __init__(self, world: World, who: int) -> None:
        self.world, self.who = world, who
        self.scenario, self.function = world.scenario, world.scenario.function

    def on(self, rule: str) -> bool:
        """Is this rule in force?"""
        return rule not in self.scenario.off

    def committing(self, phase: str) -> list[tuple[int, Flight]]:
        """Keys with an outstanding commit, or fetch of frames before it."""
        flights = self.world.instances[self.who].flights
        return [(k, f) for k, f in enumerate(flights) if f is not None and f.phase == phase]

    def flight(self, key: int) -> Flight:
        """The flight that a reply belongs to."""
        flight = self.world.instances[self.who].flights[key]
        if flight is None:
            raise AssertionError("a reply without a flight")
        return flight

    def set_flight(self, key: int, flight: Flight | None) -> None:
        """Replace what is outstanding for a key."""
        flights = self.world.instances[self.who].flights
        self.world.change(self.who, flights=(*flights[:key], flight, *flights[key + 1 :]))

    def set_cache(self, key: int, record: Record | None) -> None:
        """Replace a cache entry."""
        if self.scenario.cache:
            cache = self.world.instances[self.who].cache
            self.world.change(self.who, cache=(*cache[:key], record, *cache[key + 1 :]))

    def fill(self, key: int, record: Record | None) -> None:
        """The answer to a tracked read came: it fills the entry, unless it was requested before a commit of ours."""
        barred = any(key in (f.touched() if self.on("12-early") else (k,)) for k, f in self.committing("commit"))
        if not barred:
            self.set_cache(key, record)
