"""`snf bench failover`: Figure 8 of the paper, with detection as it is.

Downloads through a firewall of two instances, one of which gets a SIGKILL in the middle, beside the same downloads
without it: pairs of runs, in alternating order, each side in turn. A UDP stream beside them measures how long nothing
comes. The same stream alone measures it for each kind of failure. Each run has a fresh subject.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from statelessnf.bench.failover_runs import Downloaded, Plan, Trial, run_downloads, run_trial
from statelessnf.bench.slices import median_interval
from statelessnf.bench.subjects.registry import FAILURES
from statelessnf.bench.subjects.subject import Failure
from statelessnf.builder import build
from statelessnf.find import find_function

OURS, THEIRS = "stateless", "linux"
RATIO_BAR, ADDED_BAR = 1.15, 0.5  # of the time without a failure, or seconds more: whichever is larger
BLACKOUT_BARS = {Failure.kill: 20.0, Failure.stop: 30.0, Failure.cut: 30.0}  # ms
BESIDE = "beside downloads"
ALONE = "stream alone"


@dataclass
class Measured:
    """All runs so far."""

    plan: Plan
    pairs: list[tuple[Downloaded, Downloaded]] = field(default_factory=list)  # without a failure, with one
    trials: list[Trial] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        """Every single run."""
        pairs = [{"without": asdict(one), "with": asdict(other)} for one, other in self.pairs]
        return {"downloads": pairs, "blackouts": [asdict(trial) for trial in self.trials]}


def possible(sides: Sequence[str], failures: Sequence[Failure]) -> list[tuple[str, Failure]]:
    """Which of these failures each of these sides has an answer to."""
    return [(side, failure) for failure in failures for side in sides if failure in FAILURES[side]]


def measure(
    sides: Sequence[str],
    plan: Plan,
    runs: int,
    trials: Sequence[tuple[str, Failure]],
    count: int,
    progress: Callable[[str], None],
) -> Measured:
    """`runs` pairs of each side and `count` of each of the trials, in turn. Raises LabError, BuildError.

    `progress` is told each run before it begins.
    """
    build(find_function("firewall"))
    measured = Measured(plan)
    for turn in range(runs):
        for side in sides:
            measured.pairs.append(_pair(side, plan, turn, progress))
    for _ in range(count):
        for side, failure in trials:
            progress(f"{side}: {failure}")
            measured.trials.append(run_trial(side, failure, plan.rate))
    return measured


def _pair(side: str, plan: Plan, turn: int, progress: Callable[[str], None]) -> tuple[Downloaded, Downloaded]:
    """One run without and one with a failure; which comes first alternates."""
    runs = {}
    for fails in (False, True) if turn % 2 == 0 else (True, False):
        progress(f"{side}: downloads {'with' if fails else 'without'} a failure")
        runs[fails] = run_downloads(side, plan, fails)
    return runs[False], runs[True]


def download_rows(measured: Measured) -> list[dict[str, Any]]:
    """A row for each side: seconds without and with a failure (medians, spread), and how many downloads completed."""
    return [_download_row(measured, side) for side in _sides(pair[0].side for pair in measured.pairs)]


def _download_row(measured: Measured, side: str) -> dict[str, Any]:
    pairs = [pair for pair in measured.pairs if pair[0].side == side]
    ratio = median_interval([failed.seconds / whole.seconds for whole, failed in pairs])
    added = median_interval([failed.seconds - whole.seconds for whole, failed in pairs])
    row: dict[str, Any] = {"side": side, "runs": len(pairs)}
    for name, which in (("without", 0), ("with", 1)):
        seconds = median_interval([pair[which].seconds for pair in pairs])
        row |= {f"{name}_s": seconds.median, f"{name}_low": seconds.low, f"{name}_high": seconds.high}
        row[f"complete_{name}"] = min(pair[which].completed for pair in pairs)
    row |= {"ratio": ratio.median, "ratio_low": ratio.low, "ratio_high": ratio.high, "added_s": added.median}
    whole = all(run.completed == measured.plan.downloads for pair in pairs for run in pair)
    quick = ratio.median <= RATIO_BAR or added.median <= ADDED_BAR
    bar = f"{RATIO_BAR} or +{ADDED_BAR} s"
    return _rounded(row | ({"bar": bar, "met": whole and quick} if side == OURS else {}))


def blackout_rows(measured: Measured) -> list[dict[str, Any]]:
    """A row for each side and failure: ms without a packet (median, spread) and packets lost."""
    beside = [Trial(run.side, Failure.kill, run.blackout_ms, run.lost, run.pause_ms) for _, run in measured.pairs]
    quiet = [run for run, _ in measured.pairs]
    rows = [
        _blackout_row(chosen, where)
        for where, trials in ((BESIDE, beside), (ALONE, measured.trials))
        for chosen in _groups(trials)
    ]
    for row in rows:
        theirs = [r for r in rows if (r["side"], r["failure"], r["where"]) == (THEIRS, row["failure"], row["where"])]
        _judge(row, theirs[0] if theirs else None)
        noise = [run.blackout_ms for run in quiet if run.side == row["side"]]
        row["quiet_ms"] = max(noise) if noise and row["where"] == BESIDE else None
    return [_rounded(row) for row in rows]


def _groups(trials: Sequence[Trial]) -> list[list[Trial]]:
    keys = list(dict.fromkeys((trial.side, trial.failure) for trial in trials))
    return [[trial for trial in trials if (trial.side, trial.failure) == key] for key in keys]


def _blackout_row(trials: Sequence[Trial], where: str) -> dict[str, Any]:
    blackout = median_interval([trial.blackout_ms for trial in trials])
    lost = median_interval([trial.lost for trial in trials])
    row: dict[str, Any] = {"side": trials[0].side, "failure": str(trials[0].failure), "where": where}
    row |= {"trials": len(trials), "blackout_ms": blackout.median, "low": blackout.low, "high": blackout.high}
    return row | {
        "lost": lost.median,
        "most_lost": max(trial.lost for trial in trials),
        "pause_ms": median_interval([trial.pause_ms for trial in trials]).median,
    }


def _judge(row: dict[str, Any], theirs: dict[str, Any] | None) -> None:
    """Our own rows get a bar: theirs, too, where it is known and a failure that both can have."""
    failure = Failure(row["failure"])
    if row["side"] != OURS:
        return
    if failure is Failure.move:
        row |= {"bar": "0 lost", "met": row["most_lost"] == 0}
        return
    row |= {"bar": f"{BLACKOUT_BARS[failure]:g} ms", "met": row["blackout_ms"] <= BLACKOUT_BARS[failure]}
    if failure is Failure.kill and theirs is not None:
        row["theirs_ms"] = theirs["blackout_ms"]
        row["met"] = row["met"] and row["blackout_ms"] <= theirs["blackout_ms"]


def _sides(names: Any) -> list[str]:
    return list(dict.fromkeys(names))


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
