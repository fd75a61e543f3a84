"""`snf bench throughput --port memif` and `snf bench latency`: run, show, and leave JSON and a picture."""

from __future__ import annotations

from statelessnf.bench import report
from statelessnf.bench.deployments import Document, bench_deployment, bench_document, service_for
from statelessnf.bench.latency import FLOWS, RATE, SIDES, measure_latency
from statelessnf.bench.memif import LONG, PAPER_MPPS, WINDOW, measure_memif
from statelessnf.bench.port_sides import Load
from statelessnf.bench.throughput import BAR_FRAME
from statelessnf.builder import build
from statelessnf.commands.bench import BenchRequest, finish, named, ticking
from statelessnf.config import Deployment

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

    document, deployment = _prepared(request)
    service, rows = service_for(deployment), []
    with ticking("throughput", len(frame_sizes) * (request.turns + 1)) as tick:
        for size in frame_sizes:
            measured = measure_memif(Load(*LONG, size, service), request.turns, request.slice_ms / 1000, document, tick)
            rows += [row.json() for row in measured]
    function, name = deployment.function_class.name, named("throughput-memif", deployment)
    for row in rows:
        of_paper = (function, row["mode"], row["frame_bytes"]) == ("firewall", "tracked", BAR_FRAME)
        row["paper_mpps"] = PAPER_MPPS if of_paper else None
    settings = {"turns": request.turns, "slice_ms": request.slice_ms, "port": "memif", "function": function}
    pictures.throughput(rows, request.output / f"{name}.png")
    finish(request, name, report.document("throughput", rows, {**settings, "window": WINDOW}), MEMIF_COLUMNS)


def latency(request: BenchRequest) -> None:
    """Round trips over AF_XDP (Figure 7). Raises SnfError."""
    from statelessnf.bench import pictures

    document, deployment = _prepared(request)
    function, name = deployment.function_class.name, named("latency", deployment)
    with ticking("latency", request.turns + 1) as tick:
        service = service_for(deployment)
        rows, times = measure_latency(request.turns, request.slice_ms / 1000, document, service, tick)
    settings = {"turns": request.turns, "slice_ms": request.slice_ms, "port": "net_af_xdp", "function": function}
    settings |= {"packets_per_second": RATE, "flows": FLOWS, "sides": list(SIDES)}
    pictures.latency(times, request.output / f"{name}.png")
    finish(request, name, report.document("latency", [row.json() for row in rows], settings), LATENCY_COLUMNS)


def _prepared(request: BenchRequest) -> tuple[Document, Deployment]:
    """The deployment, as tables and checked; its function is compiled, so that no instance has to while others are
    measured."""
    document = bench_document(request.function, request.file, request.store)
    deployment = bench_deployment(document, request.file)
    build(deployment.function_class)
    return document, deployment
