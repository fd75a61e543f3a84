"""`snf bench floods`: run, show, and leave JSON."""

from __future__ import annotations

from collections.abc import Sequence

from statelessnf.bench import report
from statelessnf.bench.flood_bed import CONNECTIONS, INSTANCES, MEMORY_MB, RATE
from statelessnf.bench.floods import floods_of, measure_flood
from statelessnf.commands.bench import BenchRequest, finish, ticking

COLUMNS = {
    "function": "function", "flood": "flood", "frames_per_second": "frames/s", "quiet_mbit_s": "quiet Mbit/s",
    "flooded_mbit_s": "flooded", "ratio": "ratio", "ratio_low": "low", "ratio_high": "high", "bar": "bar",
    "met": "met", "broken": "broken", "store_share": "store", "dropped": "dropped as",
}  # fmt: skip


def floods(request: BenchRequest, functions: Sequence[str]) -> None:
    """Every flood against each of the functions. Raises SnfError."""
    plan = [(function, flood) for function in functions for flood in floods_of(function)]
    rows = []
    with ticking("floods", len(plan) * (request.turns + 1)) as tick:
        for function, flood in plan:
            row = measure_flood(function, flood, request.turns, request.slice_ms / 1000, tick)
            rows.append(row.json() | {"dropped": ", ".join(row.drops)})
    settings = {"turns": request.turns, "slice_ms": request.slice_ms, "port": "net_af_xdp", "instances": INSTANCES}
    settings |= {"connections": CONNECTIONS, "flood_frames_per_second": RATE, "store_memory_mb": MEMORY_MB}
    finish(request, "floods", report.document("floods", rows, settings), COLUMNS)
