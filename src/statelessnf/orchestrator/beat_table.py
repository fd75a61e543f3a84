"""When each pipe was heard last and what it counted then: a row of numbers for each slot, written here or by the kernel.

Where a filter in the kernel writes (beat_filter.py), it does so at any moment; a row that is read meanwhile has some
counts of a beat and some of the one before, and its time is that of one of them. `oldest` never gives a time that is
later than the truth, so silence is not overlooked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from operator import itemgetter
from typing import Any

import numpy as np

from statelessnf.orchestrator.beat_filter import COUNTS, HEADER, HEARD, ROW, SEQUENCE
from statelessnf.orchestrator.beats import SIZE

_NS = 1_000_000_000


class BeatTable:
    """`rows`: ROW unsigned numbers of 64 bits for each slot, as in a filter's table. Times are in ns, monotonic."""

    def __init__(self, rows: np.ndarray[Any, np.dtype[np.uint64]]) -> None:
        self._rows, self._flat = rows, rows.reshape(-1)
        self._bytes = memoryview(self._flat).cast("B")
        self._numbers = self._bytes.cast("Q")
        self._told = np.zeros(len(rows), np.uint64)  # the time that `changed`, or `told`, gave last
        self._used = 0  # slots from this one on have never been anybody's
        self.expect((), ())

    def expect(self, slots: Iterable[int], others: Iterable[int]) -> None:
        """`oldest` is about `slots`; `others` are all that belong to somebody else."""
        expected = [slot * ROW + HEARD for slot in slots]
        self._expected = itemgetter(*expected, expected[0]) if expected else None  # a tuple also of one
        self._others = np.fromiter(others, np.intp)
        self._others_at = self._others * ROW + HEARD

    def begin(self, slot: int) -> None:
        """It belongs to somebody from now on, who is not expected."""
        self._used = max(self._used, slot + 1)
        self._others = np.append(self._others, slot)
        self._others_at = self._others * ROW + HEARD

    def clear(self, slot: int) -> None:
        """Nobody has it any more."""
        self._rows[slot] = self._told[slot] = 0

    def note(self, slot: int, datagram: bytes, now: int) -> None:
        """A valid beat has come, the newest so far; the kernel may know of a later time."""
        at = 8 * (slot * ROW + SEQUENCE)
        self._bytes[at : at + 8 * COUNTS] = datagram[HEADER:SIZE]
        self._numbers[slot * ROW + HEARD] = max(now, self.heard(slot) + 1)  # each one is later, so that it counts as not told

    def heard(self, slot: int) -> int:
        """When; 0: never."""
        return self._numbers[slot * ROW + HEARD]

    def sequence(self, slot: int) -> int:
        """Number of the newest beat."""
        return self._numbers[slot * ROW + SEQUENCE]

    def told(self, slot: int) -> tuple[list[int], float]:
        """Counts of the newest beat and the time at which it was heard (s): what is known of it is told now."""
        row = self._numbers[slot * ROW : (slot + 1) * ROW].tolist()
        self._told[slot] = row[HEARD]
        return _counts(row), row[HEARD] / _NS

    def changed(self) -> Iterator[tuple[int, list[int], float]]:
        """Slot, counts and time (s) of all that were heard since they were told."""
        used = self._used
        return self._tell(np.flatnonzero(self._flat[HEARD : used * ROW : ROW] != self._told[:used]))

    def oldest(self) -> float | None:
        """None of the expected slots was heard last before that (s; infinity: there is none).

        None: somebody else was heard, too, who was not told.
        """
        if self._others.size and (self._flat.take(self._others_at) != self._told.take(self._others)).any():
            return None
        return inf if self._expected is None else min(self._expected(self._numbers)) / _NS

    def _tell(self, slots: np.ndarray[Any, np.dtype[np.intp]]) -> Iterator[tuple[int, list[int], float]]:
        rows = self._rows[slots]
        self._told[slots] = rows[:, HEARD]
        for slot, row in zip(slots.tolist(), rows.tolist(), strict=True):
            yield slot, _counts(row), row[HEARD] / _NS


def _counts(row: list[int]) -> list[int]:
    return row[SEQUENCE : SEQUENCE + COUNTS]
