"""`snf bench scaling`: Figure 9 of the paper, where the subject itself decides when to split and to merge.

The offered load goes up a level every few seconds, and down again; it consists of UDP flows that clients have opened
and that the server feeds. What arrives is held against what was offered, all along. An instance that has not got a
flow's state drops its packets, so goodput falls wherever flows move without their state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from statelessnf.bench.instruments.load import Count, Load
from statelessnf.bench.slices import median_interval
from statelessnf.bench.subjects.registry import bed, elastic, ends
from statelessnf.bench.subjects.subject import Elastic
from statelessnf.builder import build
from statelessnf.find import find_function

LEVELS = (1, 2, 3, 2, 1)  # times the rate
INSTANCES = 3
FLOWS = 256
OURS = "stateless"
BAR = 0.999
ROOM = 1.25  # of a level's rate: the capacity of an instance
PERIOD = 0.02  # seconds between two looks
SAMPLES = 5  # looks for one sample


@dataclass(frozen=True)
class Sample:
    """Over the time before `time` (s since the start): packets a second offered and arrived, instances at its end."""

    time: float
    offered: float
    arrived: float
    instances: int


@dataclass(frozen=True)
class Run:
    """One run. `split_ms`: from the first step up until a second instance was given packets; None: none ever was."""

    side: str
    offered: int
    missed: int
    arrived: int
    lowest: float  # goodput of the worst level
    split_ms: float | None
    most: int  # instances
    samples: list[Sample]
    suspicions: int = 0  # of live instances: flows move then, too

    @property
    def goodput(self) -> float:
        """Share of the offered packets that arrived."""
        return self.arrived / self.offered


class Climb:
    """One run under way. `sampled`: is told each sample."""

    def __init__(self, load: Load, subject: Elastic, sampled: Callable[[Sample], None] = lambda _: None) -> None:
        self._load, self._subject, self._sampled = load, subject, sampled
        self._suspicions = subject.suspicions()
        self._began, self._first = time.monotonic(), load.count()
        self._last = self._first
        self.samples: list[Sample] = []
        self.goodputs: list[float] = []
        self.split_ms: float | None = None

    def level(self, rate: float, seconds: float, split: bool) -> None:
        """A level; with `split` a second instance is expected to carry packets."""
        given, before = self._subject.traffic(), self._load.count()
        stepped = time.monotonic()
        self._load.rate(rate)
        until, looks = stepped + seconds, 0
        while (now := time.monotonic()) < until:
            time.sleep(min(PERIOD, until - now))
            looks += 1
            if split and self.split_ms is None and _others(given, self._subject.traffic()):
                self.split_ms = (time.monotonic() - stepped) * 1e3
            if looks % SAMPLES == 0:
                self._sample()
        self.goodputs.append(_share(before, self._load.count()))

    def _sample(self) -> None:
        last, now = self._last, self._load.count()
        seconds, self._last = now.time - last.time, now
        offered, arrived = (now.offered - last.offered) / seconds, (now.arrived - last.arrived) / seconds
        self.samples.append(Sample(now.time - self._began, offered, arrived, self._subject.carrying()))
        self._sampled(self.samples[-1])

    def end(self) -> Run:
        """The load stops; the run as a whole."""
        now, first = self._load.stop(), self._first
        return Run(
            side=self._subject.name,
            offered=now.offered - first.offered,
            missed=now.missed - first.missed,
            arrived=now.arrived - first.arrived,
            lowest=min(self.goodputs),
            split_ms=self.split_ms,
            most=max(sample.instances for sample in self.samples),
            samples=self.samples,
            suspicions=self._subject.suspicions() - self._suspicions,
        )


def _others(before: Sequence[int], now: Sequence[int]) -> bool:
    """Whether another instance than that with most packets so far has been given some."""
    first = max(range(len(before)), key=lambda number: before[number])
    return any(count > then for number, (count, then) in enumerate(zip(now, before, strict=True)) if number != first)


def _share(before: Count, after: Count) -> float:
    return (after.arrived - before.arrived) / max(after.offered - before.offered, 1)


def measure(sides: Sequence[str], runs: int, rate: float, step_s: float, progress: Callable[[str], None]) -> list[Run]:
    """`runs` runs of each side in turn; levels are multiples of `rate` packets/s. Raises LabError, BuildError."""
    build(find_function("firewall"))
    return [_run(side, rate, step_s, progress) for _ in range(runs) for side in sides]


def _run(side: str, rate: float, step_s: float, progress: Callable[[str], None]) -> Run:
    with bed(side, INSTANCES, 1, 1) as made:
        subject = elastic(made.subject)
        subject.scale(rate * ROOM)
        load = Load(made.stack, ends(subject, down=True), made.folder, FLOWS)
        climb = Climb(load, subject)
        for index, level in enumerate(LEVELS):
            progress(f"{side}: {level * rate:,.0f} packets/s")
            climb.level(level * rate, step_s, split=index == 1)
        subject.check()
        return climb.end()


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row for each side."""
    return [_row([run for run in runs if run.side == side]) for side in dict.fromkeys(run.side for run in runs)]


def _row(runs: Sequence[Run]) -> dict[str, Any]:
    goodput = median_interval([run.goodput for run in runs])
    splits = [run.split_ms for run in runs if run.split_ms is not None]
    row: dict[str, Any] = {"side": runs[0].side, "runs": len(runs), "goodput": goodput.median}
    row |= {"low": goodput.low, "high": goodput.high, "lowest_level": min(run.lowest for run in runs)}
    row |= {"split_ms": median_interval(splits).median if splits else None, "most": max(run.most for run in runs)}
    row |= {"missed": max(run.missed for run in runs), "suspicions": max(run.suspicions for run in runs)}
    if runs[0].side == OURS:
        row |= {"bar": BAR, "met": goodput.median >= BAR and all(run.most > 1 for run in runs)}
    return {key: round(value, 5) if isinstance(value, float) else value for key, value in row.items()}


def json(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every single run."""
    return [asdict(run) | {"goodput": run.goodput} for run in runs]
