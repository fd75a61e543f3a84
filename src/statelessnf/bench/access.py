"""`snf bench access`: Table 1 of the paper beside what was counted. What a function reads and commits, and how often.

Each function runs from a memory port, with the cache off and tracked, on long flows (10,000 packets) and short ones
(100). Counted is what the engine asked of the store while flows came and went evenly; a flow is as many packets as it
is long. A commit of two keys (NAT, load balancer) counts once: it is one request, done whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from statelessnf.bench.deployments import service_for
from statelessnf.bench.shapes import SHORTEST, Shape
from statelessnf.bench.sides import Side, mode_options
from statelessnf.builder import build
from statelessnf.config import Deployment
from statelessnf.store_access import OpenStore

MODES = ("off", "tracked")
OPEN_FLOWS = 200  # few, so that many begin and end while we count
SHAPES = {"long": 10_000, "short": 100}  # packets of a flow

# Table 1, in brief; NAT and load balancer have two states each (docs/access-patterns.md).
PAPER = {
    "firewall": "5 reads/writes at start and end, 1 read for every other packet",
    "nat": "2 reads/writes at start and end, 1 read for every other packet",
    "load_balancer": "2 reads/writes at start and end, 1 read for every other packet",
}


@dataclass(frozen=True)
class Row:
    """One function on one shape."""

    function: str
    shape: str
    cache: str
    packets: int
    reads_per_packet: float
    commits_per_packet: float
    reads_per_flow: float
    commits_per_flow: float
    drops: int
    paper: str  # empty: not in the paper

    def json(self) -> dict[str, Any]:
        return asdict(self)


def measure_access(
    deployment: Deployment, store: OpenStore, seconds: float, progress: Callable[[int], None]
) -> list[Row]:
    """A row for each shape and cache. Raises StoreUnavailable, ConfigError."""
    program, service, rows = build(deployment.function_class), service_for(deployment), []
    for name, packets in SHAPES.items():
        for mode in MODES:
            shape = Shape(name, SHORTEST, packets, OPEN_FLOWS, service)
            side = Side(shape.traffic(mode_options(deployment, program, store, mode)), seconds)
            side.measure()
            rows.append(_row(deployment.function_class.name, shape, mode, side.since()))
            progress(len(rows))
    return rows


def _row(function: str, shape: Shape, mode: str, counts: Mapping[str, int]) -> Row:
    packets = max(counts["packets"], 1)
    reads, commits = counts["reads"] + counts["tracked_reads"], counts["commits"]
    return Row(
        function=function,
        shape=shape.name,
        cache=mode,
        packets=counts["packets"],
        reads_per_packet=round(reads / packets, 4),
        commits_per_packet=round(commits / packets, 4),
        reads_per_flow=round(reads / packets * shape.packets_per_flow, 2),
        commits_per_flow=round(commits / packets * shape.packets_per_flow, 2),
        drops=counts["drops"],
        paper=PAPER.get(function, ""),
    )


def markdown(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """A table for docs/access-patterns.md; `columns`: key of a row to heading."""
    lines = ["| " + " | ".join(columns.values()) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(_cell(row[key]) for key in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
