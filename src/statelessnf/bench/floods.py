"""`snf bench floods`: what established flows keep of their goodput while a flood runs against the instances.

Slices with and without the flood alternate; the load that the flows offer is steady (steady_flows.py), so what they get
is that load unless the flood takes something away. Beside it: under which names the flood was dropped, and how much of
the store's memory was in use at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from statelessnf.bench.flood_bed import flood_bed
from statelessnf.bench.flood_functions import PLANS
from statelessnf.bench.slices import median_interval, ratio, take_turns
from statelessnf.builder import build
from statelessnf.find import find_function

BAR = 0.95
SETTLE = 0.25  # share of a slice that does not count


@dataclass(frozen=True)
class Row:
    """One flood against one function. Goodput: medians over slices, Mbit/s; the ratio: within turns, 95 %."""

    function: str
    flood: str
    frames_per_second: int  # of the flood, into the instances
    quiet_mbit_s: float
    flooded_mbit_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    bar: float
    broken: int  # established flows
    store_share: float  # of its bound, at most
    drops: dict[str, int]

    @property
    def met(self) -> bool:
        return self.ratio >= self.bar and self.broken == 0 and self.store_share <= 1.0

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def floods_of(function: str) -> list[str]:
    """Names of the floods that are let loose against a function."""
    return list(PLANS[function].floods())


def measure_flood(function: str, name: str, turns: int, slice_s: float, progress: Callable[[int], None]) -> Row:
    """One flood, against two fresh instances. Raises ConfigError, LabError."""
    plan = PLANS[function]
    build(find_function(function))
    with flood_bed(function, plan, plan.floods()[name]) as bed:
        settle = SETTLE * slice_s
        sides = {
            "quiet": lambda: bed.goodput(False, settle, slice_s - settle),
            "flooded": lambda: bed.goodput(True, settle, slice_s - settle),
        }
        rates = take_turns(sides, turns, progress)
        kept = ratio(rates, "flooded", "quiet")
        return Row(
            function=function,
            flood=name,
            frames_per_second=round(bed.offered / ((turns + 1) * (slice_s - settle))),
            quiet_mbit_s=_mbit_s(rates["quiet"]),
            flooded_mbit_s=_mbit_s(rates["flooded"]),
            ratio=round(kept.median, 3),
            ratio_low=round(kept.low, 3),
            ratio_high=round(kept.high, 3),
            bar=BAR,
            broken=bed.broken(),
            store_share=round(bed.store_share, 3),
            drops=dict(bed.drops()),
        )


def _mbit_s(rates: list[float]) -> float:
    return round(median_interval(rates).median * 8e-6, 3)
