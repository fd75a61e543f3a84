"""`snf bench store` and `snf bench throughput`: run, show, and leave JSON and a picture."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from statelessnf import _engine
from statelessnf.bench import report
from statelessnf.bench.deployments import OUTSIDE, bench_deployment, bench_document, service_for
from statelessnf.bench.shapes import Shape, captured_flows, long_flows, new_flows, short_flows
from statelessnf.bench.slices import FEWEST_TURNS
from statelessnf.bench.store_rates import store_rates
from statelessnf.bench.throughput import measure_new_flows, measure_shape
from statelessnf.config import Deployment
from statelessnf.errors import ConfigError
from statelessnf.store_access import OpenStore, open_store

COLUMNS = {
    "shape": "shape", "frame_bytes": "frame B", "mode": "mode", "mpps": "Mpps", "gbit_s": "Gbit/s", "ratio": "ratio",
    "ratio_low": "low", "ratio_high": "high", "against": "of", "bar": "bar", "met": "met",
    "commits_per_flow": "commits/flow", "reads_per_flow": "reads/flow", "drops": "drops",
}  # fmt: skip
STORE_COLUMNS = {
    "operation": "operation", "per_second": "per second", "low": "low", "high": "high",
    "paper_per_second": "paper", "p50_us": "p50 µs", "p95_us": "p95 µs", "p99_us": "p99 µs",
}  # fmt: skip


@dataclass(frozen=True)
class BenchRequest:
    """What the benchmarks share. `output`: folder for JSON and pictures; `file`: a deployment, in place of the one that
    comes with the benchmarks for `function`."""

    output: Path
    turns: int = FEWEST_TURNS
    slice_ms: int = 100
    json: bool = False
    store: str | None = None
    function: str = "firewall"
    file: Path | None = None


def named(what: str, deployment: Deployment) -> str:
    """The name of a benchmark's files: functions have their own."""
    function = deployment.function_class.name
    return what if function == "firewall" else f"{what}-{function}"


def deployment_for(request: BenchRequest) -> Deployment:
    """What is measured. Raises ConfigError."""
    return bench_deployment(bench_document(request.function, request.file, request.store), request.file)


@contextmanager
def bench_store(request: BenchRequest) -> Iterator[tuple[Deployment, OpenStore]]:
    """A deployment with its store, embedded unless one was named."""
    deployment = deployment_for(request)
    with tempfile.TemporaryDirectory(prefix="snf-bench-") as folder, open_store(deployment, Path(folder)) as store:
        assert store is not None  # deployment_for has refused `memory`
        yield deployment, store


@contextmanager
def ticking(title: str, steps: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal (on standard error), advanced by one at each call."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=steps)
        yield lambda turn: progress.advance(task)


def finish(request: BenchRequest, name: str, content: dict[str, Any], columns: dict[str, str]) -> None:
    """Write the JSON document, and show the rows."""
    report.write_json(request.output / f"{name}.json", content)
    if request.json:
        print(json.dumps(content))
    else:
        report.show_table(f"snf bench {name}", content["rows"], columns)
        print(f"written: {request.output / name}.json")


def store(request: BenchRequest) -> None:
    """Rates and latencies of the store. Raises SnfError."""
    with bench_store(request) as (_, opened), ticking("store", request.turns + 1) as tick:
        rows = store_rates(opened.access, request.turns, request.slice_ms / 1000, tick)
    settings = {"turns": request.turns, "slice_ms": request.slice_ms, "batch": 100}
    finish(request, "store", report.document("store", rows, settings), STORE_COLUMNS)


def throughput(request: BenchRequest, shapes: list[str], frame_sizes: list[int], trace: Path | None) -> None:
    """Figures 5 and 6 from a memory port. Raises SnfError."""
    from statelessnf.bench import pictures

    _engine.start_eal()
    with bench_store(request) as (deployment, opened):
        chosen = _shapes(deployment, shapes, frame_sizes, trace)
        rows = []
        with ticking("throughput", len(chosen) * (request.turns + 1)) as tick:
            for shape in chosen:
                measure = measure_new_flows if shape.name == "new" else measure_shape
                measured = measure(deployment, opened, shape, request.turns, request.slice_ms / 1000, tick)
                rows += [row.json() for row in measured]
    function, name = deployment.function_class.name, named("throughput", deployment)
    settings = {"turns": request.turns, "slice_ms": request.slice_ms, "port": "memory", "function": function}
    pictures.throughput(rows, request.output / f"{name}.png")
    finish(request, name, report.document("throughput", rows, settings), COLUMNS)


def _shapes(deployment: Deployment, names: list[str], sizes: list[int], trace: Path | None) -> list[Shape]:
    """Raises ConfigError where nothing is left to measure, or a capture does not fit; CaptureError."""
    made: list[Shape] = []
    service = service_for(deployment)
    for name, make in (("long", long_flows), ("short", short_flows)):
        if name in names:
            made += [make(size, service) for size in sizes]
    if "enterprise" in names and trace is not None:
        if service is not None and service[0] == OUTSIDE:
            raise ConfigError("a capture has no flows to a virtual address", "--trace", "leave it out")
        made.append(captured_flows(trace, deployment, service))
    if "new" in names and creates_pairs(deployment):
        made.append(new_flows(service))
    if not made:
        raise ConfigError("nothing to measure", "--shape", "enterprise needs --trace, and new is for nat")
    return made


def creates_pairs(deployment: Deployment) -> bool:
    """Whether a new flow is two keys that one MSETEX creates."""
    return deployment.function_class.rewrites and not deployment.function_class.timed(deployment.settings)
