"""`snf bench footprint`: run, show, and leave JSON."""

from __future__ import annotations

from statelessnf.bench import report
from statelessnf.bench.footprint import FLOWS, IDLE, measure
from statelessnf.builder import build
from statelessnf.commands.bench import BenchRequest, finish, ticking
from statelessnf.find import find_function

COLUMNS = {
    "figure": "figure",
    "median": "median",
    "low": "low",
    "high": "high",
    "unit": "unit",
    "bar": "bar",
    "met": "met",
}


def footprint(request: BenchRequest) -> None:
    """Memory, start-up and idle CPU of an instance; `request.turns` runs. Raises SnfError."""
    build(find_function("firewall"))
    with ticking("footprint", request.turns + 1) as tick:
        rows = measure(request.turns, tick)
    settings = {"runs": request.turns, "flows": FLOWS, "idle_s": IDLE, "port": "net_af_xdp", "function": "firewall"}
    finish(request, "footprint", report.document("footprint", rows, settings), COLUMNS)
