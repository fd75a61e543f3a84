"""`snf bench access`: run, show, and leave JSON and the table of docs/access-patterns.md."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from statelessnf import _engine
from statelessnf.bench import report
from statelessnf.bench.access import MODES, OPEN_FLOWS, SHAPES, markdown, measure_access
from statelessnf.commands.bench import BenchRequest, bench_store, finish, ticking

COLUMNS = {
    "function": "function", "shape": "flows", "cache": "cache", "reads_per_packet": "reads/packet",
    "commits_per_packet": "commits/packet", "reads_per_flow": "reads/flow", "commits_per_flow": "commits/flow",
    "paper": "Table 1 of the paper",
}  # fmt: skip
SHOWN = {key: heading for key, heading in COLUMNS.items() if key != "paper"} | {"drops": "drops"}


def access(request: BenchRequest, functions: list[str], files: list[Path]) -> None:
    """What `functions`, and those of deployment files, ask of the store. Raises SnfError."""
    _engine.start_eal()
    measured = [replace(request, function=name) for name in functions]
    measured += [replace(request, file=file) for file in files]
    rows: list[dict[str, Any]] = []
    with ticking("access", len(measured) * len(SHAPES) * len(MODES)) as tick:
        for one in measured:
            with bench_store(one) as (deployment, opened):
                rows += [row.json() for row in measure_access(deployment, opened, request.slice_ms / 1000, tick)]
    report.write_text(request.output / "access.md", markdown(rows, COLUMNS))
    settings = {"slice_ms": request.slice_ms, "open_flows": OPEN_FLOWS, "packets": SHAPES, "port": "memory"}
    finish(request, "access", report.document("access", rows, settings), SHOWN)
