"""`snf bench controller`: what the controller costs with many instances that beat, and how soon it reacts.

The controller runs in a process of its own (simulated/controller_worker.py), another one beats for all instances
(simulated/beat_worker.py). Its CPU time is taken while all is well; then one instance after the other falls silent, and
some end. A reaction is the time from the moment at which the controller may know (the limit after the last beat, or the
driver's word) to the moment at which the switch has been told who is left.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from statelessnf.bench.instruments.worker import Worker
from statelessnf.bench.simulated.controller_worker import PAUSE, PER_HOST, SPARE
from statelessnf.orchestrator.model import Desired, Health, Host, Load, Observed, Place, Sighting
from statelessnf.orchestrator.plan import plan

PACKAGE = "statelessnf.bench.simulated"
BEAT = 0.005  # seconds
LIMIT_MS = 15
WARM_SECONDS = 1.0
SILENCE, EVERY = 0.06, 0.08  # seconds: how long an instance is silent, and from one to the next
ENDED = 10.0  # seconds: no end takes longer to be told of
PHASES = 4  # of a run that are told of
PLANNED = 1000  # instances
PLANS = 20
CPU_BAR, REACTION_BAR_MS, PLAN_BAR_MS = 0.02, 5.0, 10.0


@dataclass(frozen=True)
class Run:
    """One run. `cpu`: share of a core; `silences_ms` and `ends_ms`: reactions; `plan_ms`: of each call."""

    instances: int
    helped: bool  # by a program in the kernel (beat_filter.py)
    cpu: float
    silences_ms: list[float]
    ends_ms: list[float]
    plan_ms: list[float]


def measure(instances: int, seconds: float, trials: int, runs: int, progress: Callable[[str], None]) -> list[Run]:
    """Raises LabError: something does not answer."""
    made = []
    for turn in range(runs):

        def tell(what: str, turn: int = turn) -> None:
            progress(f"run {turn + 1}: {what}")

        with ExitStack() as stack:
            made.append(_run(stack, instances, seconds, trials, tell))
    return made


def _run(stack: ExitStack, instances: int, seconds: float, trials: int, tell: Callable[[str], None]) -> Run:
    tell("cost")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="snf-bench-")))
    tokens = [secrets.token_hex(16) for _ in range(instances)]
    order = {"tokens": tokens, "folder": str(folder / "run"), "limit_ms": LIMIT_MS}
    controller = Worker(stack, None, "controller_worker", folder, order, PACKAGE)
    beats = {"target": controller.greeting["target"], "tokens": tokens, "interval": BEAT}
    beater = Worker(stack, None, "beat_worker", folder, beats, PACKAGE)
    controller.ask({})
    time.sleep(WARM_SECONDS)
    before = controller.ask({})
    time.sleep(seconds)
    after = controller.ask({})
    tell("silences")
    silences = _silences(controller, beater, trials)
    tell("ends")
    ends = _ends(controller, min(trials, instances // 4))
    tell("plan")
    return Run(
        instances,
        controller.greeting["helped"],
        (after["cpu"] - before["cpu"]) / (after["time"] - before["time"]),
        silences,
        ends,
        plan_times(PLANNED),
    )


def _silences(controller: Worker, beater: Worker, trials: int) -> list[float]:
    order = {"trials": trials, "silence": SILENCE, "every": EVERY}
    silences = beater.ask(order, trials * EVERY)["silences"]
    told = controller.ask({})["told"]
    beyond = SILENCE - LIMIT_MS / 1000
    return [_told_ms(told, _port(number), last + LIMIT_MS / 1000, beyond) for number, last in silences]


def _ends(controller: Worker, count: int) -> list[float]:
    ends = controller.ask({"end": count}, count * PAUSE)["ends"]
    told = controller.ask({})["told"]
    return [_told_ms(told, port, at, ENDED) for port, at in ends]


def _port(number: int) -> str:
    host, slot = divmod(number, PER_HOST)
    return f"in{host * (PER_HOST + SPARE) + slot}"


def _told_ms(told: Sequence[tuple[float, list[str]]], port: str, since: float, most: float) -> float:
    """From `since` until the switch was told something without that port; `most` (s), if that took longer or never was.

    An instance that beats again before anybody noticed its silence was missed: that counts as its whole silence.
    """
    for at, members in told:
        if since - BEAT < at < since + most and port not in members:  # the limit counts from a beat's arrival
            return (at - since) * 1000
    return most * 1000


def plan_times(instances: int) -> list[float]:
    """ms of single calls of `plan`: nothing to do, one suspected, and a revision that all are to be replaced by."""
    hosts = tuple(Host(f"host{n}", PER_HOST + SPARE) for n in range(-(-instances // PER_HOST)))
    seen = tuple(_sighting(number) for number in range(instances))
    silent = (_sighting(0, Health.suspected), *seen[1:])
    names = tuple(one.name for one in seen)
    calm = Desired(size=instances, minimum=1, maximum=instances)
    upgrade = Desired(size=instances, minimum=1, maximum=instances, revision=2)
    times = []
    for desired, instances_seen in [(calm, seen), (calm, silent), (upgrade, seen)] * PLANS:
        observed = Observed(100.0, hosts, instances_seen, names)
        began = time.perf_counter()
        plan(desired, observed)
        times.append((time.perf_counter() - began) * 1000)
    return times


def _sighting(number: int, health: Health = Health.live) -> Sighting:
    host, slot = divmod(number, PER_HOST)
    return Sighting(f"one-{number:04}", Place(f"host{host}", slot), 1, health, 99.9, Load())


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row for each figure: median of the runs, least and most."""
    return [
        _row("CPU, share of a core", [run.cpu for run in runs], CPU_BAR),
        _row("told of a silence, p99 ms beyond the limit", [_p99(run.silences_ms) for run in runs], REACTION_BAR_MS),
        _row("told of an end, p99 ms", [_p99(run.ends_ms) for run in runs], REACTION_BAR_MS),
        _row(f"plan for {PLANNED} instances, p99 ms", [_p99(run.plan_ms) for run in runs], PLAN_BAR_MS),
    ]


def _row(what: str, values: Sequence[float], bar: float) -> dict[str, Any]:
    middle = median(values)
    figures: Mapping[str, float] = {"median": middle, "low": min(values), "high": max(values)}
    rounded = {name: round(value, 4) for name, value in figures.items()}
    return {"what": what, "runs": len(values), **rounded, "bar": bar, "met": middle <= bar}


def _p99(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
