"""`snf bench throughput --port memif` and `snf bench latency`: run, show, and leave JSON and a picture."""

from __future__ import annotations

from statelessnf.bench import report
from statelessnf.bench.latency import FLOWS, RATE, SIDES, measure_latency
from statelessnf.bench.memif import PAPER_MPPS, WINDOW, measure_memif
from statelessnf.bench.throughput import BAR_FRAME
from statelessnf.builder import build
from statelessnf.commands.bench import BenchRequest, deployment_for, finish, ticking

MEMIF_COLUMNS = {
    "frame_bytes": "frame B", "mode": "mode", "mpps": "Mpps", "gbit_s": "Gbit/s", "ratio": "of plain",
    "ratio_low": "low", "ratio_high": "high", "bar": "bar", "met": "met", "commits_per_flow": "commits/flow",
    "drops": "lost", "paper_mpps": "paper Mpps",
}  # fmt: skip
LATENCY_COLUMNS = {
    "mode": "mode", "p50_us": "p50 µs", "p95_us": "p95 µs", "p99_us": "p99 µs", "added_us": "added p50 µs",
    "added_low_us": "low", "added_high_us": "high", "bar_us": "bar", "met": "met", "lost": "lost", "late": "late",
}  # fmt: skip


def memif(request: BenchRequest, frame_sizes: list[int]) -> None:
    """Long flows through instances on shared-memory ports. Raises SnfError."""
    from statelessnf.bench import pictures

    store = _prepared_store(request)
    rows = []
    with ticking("throughput", len(frame_sizes) * (request.turns + 1)) as tick:
        for size in frame_sizes:
            rows += [row.json() for row in measure_memif(size, request.turns, request.slice_ms / 1000, store, tick)]
    for row in rows:
        row["paper_mpps"] = PAPER_MPPS if (row["mode"], row["frame_bytes"]) == ("tracked", BAR_FRAME) else None
    settings = {"turns": request.turns, "slice_ms": request.slice_ms, "port": "memif", "function": "firewall"}
    pictures.throughput(rows, request.output / "throughput-memif.png")
    content = report.document("throughput", rows, {**settings, "window": WINDOW})
    finish(request, "throughput-memif", content, MEMIF_COLUMNS)


def latency(request: BenchRequest) -> None:
    """Round trips over AF_XDP (Figure 7). Raises SnfError."""
    from statelessnf.bench import pictures

    store = _prepared_store(request)
    with ticking("latency", request.turns + 1) as tick:
        rows, times = measure_latency(request.turns, request.slice_ms / 1000, store, tick)
    settings = {"turns": request.turns, "slice_ms": request.slice_ms, "port": "net_af_xdp", "function": "firewall"}
    settings |= {"packets_per_second": RATE, "flows": FLOWS, "sides": list(SIDES)}
    pictures.latency(times, request.output / "latency.png")
    finish(request, "latency", report.document("latency", [row.json() for row in rows], settings), LATENCY_COLUMNS)


def _prepared_store(request: BenchRequest) -> str:
    """The store's address; the function is compiled, so that no instance has to while others are measured."""
    build(deployment_for(request.store).function_class)
    return request.store or "embedded"
