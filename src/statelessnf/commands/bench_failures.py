"""`snf bench failover`, `asymmetry` and `scaling`: run, show, and leave JSON and a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from statelessnf.bench import asymmetry as asymmetries
from statelessnf.bench import failover as failovers
from statelessnf.bench import report
from statelessnf.bench import scaling as scalings
from statelessnf.bench.failover_runs import Plan
from statelessnf.bench.subjects.subject import Failure, Way
from statelessnf.commands.bench import BenchRequest, finish

DOWNLOAD_COLUMNS = {
    "side": "side", "runs": "runs", "without_s": "without s", "without_low": "low", "without_high": "high",
    "with_s": "with s", "with_low": "low", "with_high": "high", "ratio": "ratio", "added_s": "added s",
    "complete_without": "complete", "complete_with": "with", "bar": "bar", "met": "met",
}  # fmt: skip
BLACKOUT_COLUMNS = {
    "side": "side", "failure": "failure", "where": "where", "trials": "trials", "blackout_ms": "blackout ms",
    "low": "low", "high": "high", "lost": "lost", "most_lost": "most", "pause_ms": "sender ms",
    "theirs_ms": "linux ms", "bar": "bar", "met": "met",
}  # fmt: skip
ASYMMETRY_COLUMNS = {
    "side": "side", "way": "way", "connections_per_s": "connections/s", "connect_p50_ms": "p50 ms",
    "connect_p99_ms": "p99 ms", "failed": "failed", "setup_ratio": "set-up", "mbit_s": "Mbit/s",
    "goodput_ratio": "goodput", "goodput_low": "low", "goodput_high": "high", "saturated_mbit_s": "CPUs full Mbit/s",
    "saturated_ratio": "goodput", "bar": "bar", "met": "met",
}  # fmt: skip
SCALING_COLUMNS = {
    "side": "side", "runs": "runs", "goodput": "goodput", "low": "low", "high": "high", "lowest_level": "worst level",
    "split_ms": "to second instance ms", "most": "instances", "missed": "not sent",
    "suspicions": "suspected", "bar": "bar", "met": "met",
}  # fmt: skip


@contextmanager
def telling(title: str, steps: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on a terminal (standard error) that names each step when it begins."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=steps, completed=-1)
        yield lambda what: progress.update(task, advance=1, description=what)


def failover(request: BenchRequest, plan: Plan, sides: Sequence[str], failures: Sequence[Failure], trials: int) -> None:
    """Figure 8, and blackouts. Raises SnfError."""
    from statelessnf.bench import failure_pictures

    wanted = failovers.possible(sides, failures)
    with telling("failover", 2 * request.turns * len(sides) + trials * len(wanted)) as tell:
        measured = failovers.measure(sides, plan, request.turns, wanted, trials, tell)
    downloads, blackouts = failovers.download_rows(measured), failovers.blackout_rows(measured)
    failure_pictures.failover(measured, blackouts, request.output / "failover.png")
    settings: dict[str, Any] = {
        "runs": request.turns,
        "trials": trials,
        "downloads": plan.downloads,
        "bytes": plan.size,
    }
    settings |= {"tcp_timeout_s": plan.timeout, "stream_packets_per_second": plan.rate, "sides": list(sides)}
    content = report.document("failover", downloads, settings) | {"blackouts": blackouts, "single": measured.json()}
    if not request.json:
        print(f"a client gives up after {plan.timeout:g} s without a byte (TCP_USER_TIMEOUT, too)")
        report.show_table("how long nothing comes", blackouts, BLACKOUT_COLUMNS)
    finish(request, "failover", content, DOWNLOAD_COLUMNS)


def asymmetry(request: BenchRequest, sides: Sequence[str], size: int) -> None:
    """Figure 2d. Raises SnfError."""
    from statelessnf.bench import failure_pictures

    with telling("asymmetry", request.turns * len(sides) * len(Way)) as tell:
        measured = asymmetries.measure(sides, request.turns, request.slice_ms / 1000, size, tell)
    rows = asymmetries.rows(measured)
    failure_pictures.asymmetry(rows, request.output / "asymmetry.png")
    settings: dict[str, Any] = {
        "turns": request.turns,
        "slice_ms": request.slice_ms,
        "bytes": size,
        "sides": list(sides),
    }
    settings |= {"visitors": [asymmetries.CONNECTING, asymmetries.FETCHING], "instances": asymmetries.INSTANCES}
    settings |= {"link_mbit_s": asymmetries.LINK_MBIT}
    content = report.document("asymmetry", rows, settings) | {"single": [turn.json() for turn in measured]}
    finish(request, "asymmetry", content, ASYMMETRY_COLUMNS)


def scaling(request: BenchRequest, sides: Sequence[str], rate: float, step_s: float) -> None:
    """Figure 9. Raises SnfError."""
    from statelessnf.bench import failure_pictures

    with telling("scaling", request.turns * len(sides) * len(scalings.LEVELS)) as tell:
        runs = scalings.measure(sides, request.turns, rate, step_s, tell)
    rows = scalings.rows(runs)
    failure_pictures.scaling(runs, request.output / "scaling.png")
    settings: dict[str, Any] = {
        "runs": request.turns,
        "packets_per_second": rate,
        "levels": list(scalings.LEVELS),
        "step_s": step_s,
    }
    settings |= {"flows": scalings.FLOWS, "instances": scalings.INSTANCES, "sides": list(sides)}
    content = report.document("scaling", rows, settings) | {"single": scalings.json(runs)}
    finish(request, "scaling", content, SCALING_COLUMNS)
