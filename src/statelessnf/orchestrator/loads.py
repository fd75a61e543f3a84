"""How much an instance has to do, from the counters in its beats: rates over a window of about half a second.

A window ends with the first beat that is told of after WINDOW seconds; until the first one has ended, nothing is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from statelessnf.orchestrator.beats import Beat
from statelessnf.orchestrator.model import Load

WINDOW = 0.4  # seconds; less than the controller's CALM, so that each of its readings ends one
STALE = 2.0  # seconds: a pipe that has said nothing for so long has no load


class _Pipe:
    """One pipe's window that is running, and what the last one gave."""

    def __init__(self, beat: Beat, now: float) -> None:
        self.first, self.heard = beat, now
        self.load: Load | None = None

    def take(self, beat: Beat, now: float) -> bool:
        """Whether `load` is another one now."""
        before, self.heard = self.load, now
        seconds = (beat.sent_ns - self.first.sent_ns) * 1e-9
        if seconds < 0 or beat.received < self.first.received:  # another process
            self.first, self.load = beat, None
        elif seconds >= WINDOW:
            self.load, self.first = _between(self.first, beat, seconds), beat
        return self.load is not before


def _between(first: Beat, last: Beat, seconds: float) -> Load:
    packets = last.latency_packets - first.latency_packets
    latency = (last.latency_sum_ns - first.latency_sum_ns) / packets / 1000 if packets else 0.0
    busy = min(1.0, (last.busy_ns - first.busy_ns) * 1e-9 / seconds)
    received, missed = last.received - first.received, last.missed - first.missed
    return Load(busy, missed / seconds, latency, received / seconds, busy)


class Loads:
    """Of all instances, by name."""

    def __init__(self) -> None:
        self._pipes: dict[str, dict[int, _Pipe]] = {}
        self._known: dict[str, tuple[Load | None, float]] = {}  # of whole instances, and until when that holds

    def heard(self, name: str, beat: Beat, now: float) -> None:
        """Takes a beat in."""
        pipes = self._pipes.setdefault(name, {})
        pipe = pipes.get(beat.pipe)
        if pipe is None:
            pipes[beat.pipe] = _Pipe(beat, now)
        elif pipe.take(beat, now):
            self._known.pop(name, None)

    def of(self, name: str, now: float) -> Load | None:
        """Of the whole instance: its busiest pipe, its slowest, all packets and all work. None: nothing is known."""
        known, until = self._known.get(name, (None, -inf))
        if now >= until:
            fresh = [pipe for pipe in self._pipes.get(name, {}).values() if pipe.load and now - pipe.heard < STALE]
            known = _together([pipe.load for pipe in fresh if pipe.load])
            self._known[name] = known, min((pipe.heard for pipe in fresh), default=-inf) + STALE
        return known

    def forget(self, name: str) -> None:
        """The instance is gone."""
        self._pipes.pop(name, None)
        self._known.pop(name, None)


def _together(loads: Sequence[Load]) -> Load | None:
    if not loads:
        return None
    return Load(
        max(load.utilisation for load in loads),
        sum(load.receive_drops for load in loads),
        max(load.latency_us for load in loads),
        sum(load.packets for load in loads),
        sum(load.work for load in loads),
    )
