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
from statelessnf.bench.shapes import Shape, captured_flows, long_flows, short_flows
from statelessnf.bench.slices import FEWEST_TURNS
from statelessnf.bench.store_rates import store_rates
from statelessnf.bench.throughput import measure_shape
from statelessnf.config import Deployment, parse
from statelessnf.errors import ConfigError
from statelessnf.store_access import OpenStore, open_store

MEMORY_MB = 4096  # short flows leave many records behind until their time-out
# Closed flows are forgotten soon: at benchmark rates the default of 120 s would be millions of records.
DOCUMENT: dict[str, Any] = {
    "name": "bench",
    "function": "firewall",
    "inside": ["10.0.0.0/8"],
    "store": {"memory_mb": MEMORY_MB},
    "instance": {"cache_flows": 300_000, "packets": 8192},
    "firewall": {
        "rules": [
            {"action": "deny", "source": "172.16.0.0/12"},
            {"action": "allow", "direction": "outbound"},
        ],
        "timeouts": {"tcp_time_wait_s": 5, "tcp_close_s": 5},
    },
}
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
    """What the benchmarks share. `output`: folder for JSON and pictures."""

    output: Path
    turns: int = FEWEST_TURNS
    slice_ms: int = 100
    json: bool = False
    store: str | None = None


def deployment_for(store: str | None) -> Deployment:
    """The benchmarks' own deployment. Raises ConfigError."""
    document = dict(DOCUMENT)
    if store is not None:
        document["store"] = {**DOCUMENT["store"], "url": store}
    deployment = parse(document, Path("snf bench"))
    if deployment.store.address.kind == "memory":
        raise ConfigError("the benchmarks compare with a store", "--store", "name a running server, or leave it out")
    return deployment


@contextmanager
def bench_store(request: BenchRequest) -> Iterator[tuple[Deployment, OpenStore]]:
    """A deployment with its store, embedded unless one was named."""
    deployment = deployment_for(request.store)
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
                measured = measure_shape(deployment, opened, shape, request.turns, request.slice_ms / 1000, tick)
                rows += [row.json() for row in measured]
    settings = {"turns": request.turns, "slice_ms": request.slice_ms, "port": "memory", "function": "firewall"}
    pictures.throughput(rows, request.output / "throughput.png")
    finish(request, "throughput", report.document("throughput", rows, settings), COLUMNS)


def _shapes(deployment: Deployment, names: list[str], sizes: list[int], trace: Path | None) -> list[Shape]:
    made: list[Shape] = []
    for name, make in (("long", long_flows), ("short", short_flows)):
        if name in names:
            made += [make(size) for size in sizes]
    if "enterprise" in names and trace is not None:
        made.append(captured_flows(trace, deployment))
    return made
