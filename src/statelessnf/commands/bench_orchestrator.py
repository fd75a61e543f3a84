"""`snf bench chaos`, `suspicion` and `controller`: run, show, and leave JSON and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from statelessnf.bench import chaos as chaoses
from statelessnf.bench import controller as controllers
from statelessnf.bench import report
from statelessnf.bench import suspicion as suspicions
from statelessnf.bench.chaos_bed import Harm, offered
from statelessnf.commands.bench import BenchRequest, finish
from statelessnf.commands.bench_failures import telling
from statelessnf.lab.orchestra import SwitchKind

CHAOS_COLUMNS = {
    "run": "run", "seed": "seed", "seconds": "s", "harms": "harms", "downloads": "downloads", "messages": "messages",
    "broken": "broken", "unrecorded": "no record", "unsettled": "unsettled", "settled_s": "settled s", "lost": "lost",
    "of": "of", "lossy_s": "lossy s", "unexplained": "unexplained", "met": "met",
}  # fmt: skip
SUSPICION_COLUMNS = {
    "pairs": "pairs", "calm_mbit_s": "in peace Mbit/s", "mbit_s": "Mbit/s", "ratio": "ratio", "low": "low",
    "high": "high", "suspicions_per_s": "suspicions/s", "broken": "broken", "replaced": "replaced", "bar": "bar",
    "met": "met",
}  # fmt: skip
CONTROLLER_COLUMNS = {
    "what": "what", "runs": "runs", "median": "median", "low": "low", "high": "high", "bar": "bar", "met": "met",
}  # fmt: skip


def chaos(request: BenchRequest, switch: SwitchKind, harms: Sequence[Harm], seconds: float, seed: int) -> None:
    """Random harm. Raises SnfError."""
    from statelessnf.bench import orchestrator_pictures

    stories = []
    for turn in range(request.turns):
        with telling(f"chaos {turn + 1}", 0) as tell:
            stories.append(chaoses.run(switch, harms, seconds, seed + turn, tell))
    orchestrator_pictures.chaos(stories[0], request.output / "chaos.png")
    settings = {
        "runs": request.turns,
        "switch": switch,
        "seconds": seconds,
        "harms": [str(harm) for harm in harms or offered(switch)],
        "connections": chaoses.TALKS,
        "stream_packets_per_second": chaoses.RATE,
        "bytes": chaoses.SIZE,
    }
    content = report.document("chaos", chaoses.rows(stories), settings)
    finish(request, "chaos", content | {"single": [story.json() for story in stories]}, CHAOS_COLUMNS)


def suspicion(request: BenchRequest, downloads: int, size: int, seed: int) -> None:
    """False suspicion. Raises SnfError."""
    from statelessnf.bench import orchestrator_pictures

    with telling("suspicion", 2 * request.turns) as tell:
        pairs = suspicions.measure(downloads, size, request.turns, seed, tell)
    orchestrator_pictures.suspicion(pairs, request.output / "suspicion.png")
    settings = {"pairs": request.turns, "downloads": downloads, "bytes": size, "seed": seed}
    content = report.document("suspicion", suspicions.rows(pairs), settings)
    finish(request, "suspicion", content | {"single": [asdict(pair) for pair in pairs]}, SUSPICION_COLUMNS)


def controller(request: BenchRequest, instances: int, seconds: float, trials: int) -> None:
    """Cost and reaction. Raises SnfError."""
    from statelessnf.bench import orchestrator_pictures

    with telling("controller", controllers.PHASES * request.turns) as tell:
        runs = controllers.measure(instances, seconds, trials, request.turns, tell)
    orchestrator_pictures.controller(runs, request.output / "controller.png")
    settings = {"runs": request.turns, "instances": instances, "seconds": seconds, "trials": trials}
    settings |= {"beats_per_s": 1 / controllers.BEAT, "limit_ms": controllers.LIMIT_MS}
    content = report.document("controller", controllers.rows(runs), settings)
    finish(request, "controller", content | {"single": [asdict(run) for run in runs]}, CONTROLLER_COLUMNS)
