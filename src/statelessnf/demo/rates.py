"""Rates from totals: over the last second for the view, between neighbouring samples for pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

SPAN = 10  # samples
S = TypeVar("S")


def growth(samples: Sequence[S], when: Callable[[S], float], total: Callable[[S], int]) -> float:
    """A total's growth per second over the last SPAN samples; 0 where there is only one."""
    first, last = samples[-SPAN - 1 :][0], samples[-1]
    seconds = when(last) - when(first)
    return (total(last) - total(first)) / seconds if seconds > 0 else 0.0


def between(points: Sequence[tuple[float, int]]) -> tuple[list[float], list[float]]:
    """From (time, total): middle times of neighbouring points, and the growth of the total per second between them."""
    pairs = [(a, b) for a, b in pairwise(points) if b[0] > a[0]]
    return [(a[0] + b[0]) / 2 for a, b in pairs], [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs]
