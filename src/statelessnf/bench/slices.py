"""Comparing sides on a noisy machine: short slices of each in turn (A B C A B C …), ratios within a turn.

What disturbs a turn disturbs all of its slices, so ratios within turns are steady where the rates themselves are not.
A result is the median over turns, with a 95 % confidence interval of the median from order statistics (binomial; no
assumption about the noise).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

FEWEST_TURNS = 20


class Interval(NamedTuple):
    """A median with the bounds of its 95 % confidence interval."""

    median: float
    low: float
    high: float


def median_interval(values: Sequence[float]) -> Interval:
    """The median of `values` and the order statistics that enclose the true one in at least 95 of 100 cases.

    Raises ValueError where `values` is empty.
    """
    ordered = sorted(values)
    count = len(ordered)
    if count == 0:
        raise ValueError("no values")
    rank, tail = 0, 0.5**count
    while rank + 1 <= count // 2 and tail <= 0.025:
        rank += 1
        tail += math.comb(count, rank) * 0.5**count
    low = max(rank - 1, 0)
    return Interval(statistics.median(ordered), ordered[low], ordered[count - 1 - low])


def take_turns(
    sides: Mapping[str, Callable[[], float]],
    turns: int,
    progress: Callable[[int], None] = lambda turn: None,
) -> dict[str, list[float]]:
    """Call each side once a turn, in order, `turns` times after one turn that does not count; what each call gave."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns + 1):
        for name, measure in sides.items():
            value = measure()
            if turn > 0:
                rates[name].append(value)
        progress(turn)
    return rates


def ratio(rates: Mapping[str, Sequence[float]], side: str, against: str) -> Interval:
    """The ratio of two sides, turn by turn."""
    return median_interval([a / b for a, b in zip(rates[side], rates[against], strict=True)])
