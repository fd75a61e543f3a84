"""When each pipe was heard last and what it counted then, by slot; written here or by the kernel.

Where a filter in the kernel writes (beat_filter.py), it does so at any moment; counts that are read meanwhile are some
of a beat and some of the one before, and their time is that of one of them. `oldest` never gives a time that is later
than the truth, so silence is not overlooked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from operator import itemgetter
from typing import Any

import numpy as np

from statelessnf.orchestrator.beat_program import COUNTS, HEADER
from statelessnf.orchestrator.beats import SIZE

_NS = 1_000_000_000
_Numbers = np.ndarray[Any, np.dtype[np.uint64]]


class BeatTable:
    """`times`: a number for each slot, ns (monotonic), 0: never heard; `counts`: COUNTS numbers for each slot."""

    def __init__(self, times: _Numbers, counts: _Numbers) -> None:
        self._times, self._counts = times, counts
        self._time = times.data.cast("B").cast("Q")
        self._bytes = counts.reshape(-1).data.cast("B")
        self._count = self._bytes.cast("Q")
        self._told = np.zeros(len(times), np.uint64)  # the time that `changed`, or `told`, gave last
        self.used = 0  # slots from this one on have never been anybody's
        self.expect((), ())

    def expect(self, slots: Iterable[int], others: Iterable[int]) -> None:
        """`oldest` is about `slots`; `others` are all that belong to somebody else."""
        expected = list(slots)
        self._expected = itemgetter(*expected, expected[0]) if expected else None  # a tuple also of one
        self._others = list(others)
        self.calm = len(set(expected)) if not self._others else 0  # pipes that are expected, if nobody else is there

    def begin(self, slot: int) -> None:
        """It belongs to somebody from now on, who is not expected."""
        self.used = max(self.used, slot + 1)
        self._others.append(slot)
        self.calm = 0

    def clear(self, slot: int) -> None:
        """Nobody has it any more."""
        self._times[slot] = self._told[slot] = 0
        self._counts[slot] = 0

    def note(self, slot: int, datagram: bytes, now: int) -> None:
        """A valid beat has come, the newest so far; the kernel may know of a later time."""
        at = 8 * COUNTS * slot
        self._bytes[at : at + 8 * COUNTS] = datagram[HEADER:SIZE]
        self._time[slot] = max(now, self._time[slot] + 1)  # each one is later, so that it counts as not told

    def heard(self, slot: int) -> int:
        """When (ns); 0: never."""
        return self._time[slot]

    def sequence(self, slot: int) -> int:
        """Number of the newest beat."""
        return self._count[slot * COUNTS]

    def told(self, slot: int) -> tuple[list[int], float]:
        """Counts of the newest beat and the time at which it was heard (s): what is known of it is told now."""
        at, heard = slot * COUNTS, self._time[slot]
        self._told[slot] = heard
        return self._count[at : at + COUNTS].tolist(), heard / _NS

    def changed(self) -> Iterator[tuple[int, list[int], float]]:
        """Slot, counts and time (s) of all that were heard since they were told."""
        times = self._times[: self.used].copy()  # before the counts: what comes meanwhile is told next time
        slots = np.flatnonzero(times != self._told[: self.used])
        self._told[slots] = times[slots]
        told = slots.tolist(), self._counts[slots].tolist(), (times[slots] / _NS).tolist()
        return zip(*told, strict=True)

    def oldest(self) -> float | None:
        """None of the expected slots was heard last before that (s; infinity: there is none).

        None: somebody else was heard, too, who was not told.
        """
        if self._others and (self._times.take(self._others) != self._told.take(self._others)).any():
            return None
        return inf if self._expected is None else min(self._expected(self._time)) / _NS
