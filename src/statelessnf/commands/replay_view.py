"""What `snf replay` shows: a progress bar on a terminal, and the summary for people or programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from statelessnf.capture import Captured, CaptureReader
from statelessnf.config import Deployment
from statelessnf.figures import drops
from statelessnf.replay import Totals
from statelessnf.split import Split

REDRAW = 1024  # packets between two looks at the position


@dataclass(frozen=True)
class Summary:
    """What a replay did; `stats` is the sum over its instances."""

    deployment: Deployment
    instances: int
    split: Split
    totals: Totals
    stats: dict[str, Any]
    seconds: float

    def drops(self) -> dict[str, int]:
        """Packets by reason."""
        oversized = {"oversized": self.totals.oversized} if self.totals.oversized else {}
        return drops(self.stats, self.deployment.function_class) | oversized

    def document(self) -> dict[str, Any]:
        """For `--json`: counts, and store operations for each packet and each flow (null without packets, flows)."""
        totals, stats = self.totals, self.stats
        operations = {name: int(stats[name]) for name in ("reads", "commits", "conflicts")}
        ratios = {
            f"{name}_per_{unit}": round(operations[name] / count, 4) if count else None
            for name in ("reads", "commits")
            for unit, count in (("packet", totals.packets), ("flow", int(stats["new_flows"])))
        }
        return {
            "function": self.deployment.function_class.name,
            "store": self.deployment.store.address.shown(),
            "cache": self.deployment.store.cache,
            "instances": self.instances,
            "split": str(self.split),
            "packets": totals.packets,
            "forwarded": totals.forwarded,
            "generated": totals.generated,
            "dropped": totals.dropped,
            "drops": self.drops(),
            "flows": int(stats["new_flows"]),
            **operations,
            **ratios,
            "seconds": round(self.seconds, 3),
        }


def with_progress(reader: CaptureReader, path: Path) -> Iterator[Captured]:
    """The packets of `reader`, with a bar on standard error where that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from reader
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(path.name, total=path.stat().st_size)
        for number, packet in enumerate(reader):
            if number % REDRAW == 0:
                progress.update(task, completed=reader.position)
            yield packet


def show(summary: Summary, *, as_json: bool) -> None:
    """Prints it on standard output."""
    document = summary.document()
    if as_json:
        print(json.dumps(document))
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    for name, value in _rows(document):
        table.add_row(name, value)
    Console(highlight=False).print(table)


def _rows(document: dict[str, Any]) -> Iterable[tuple[str, str]]:
    yield "instances", f"{document['instances']}, split by {document['split']}"
    baseline = document["store"] == "memory"
    yield "store", "memory: the baseline" if baseline else f"{document['store']}, cache {document['cache']}"
    rate = document["packets"] / document["seconds"] if document["seconds"] else 0
    yield "packets", f"{document['packets']:,} in {document['seconds']:.1f} s ({rate:,.0f} a second)"
    yield "forwarded", f"{document['forwarded']:,}"
    if document["generated"]:
        yield "generated", f"{document['generated']:,}"
    yield "dropped", f"{document['dropped']:,}"
    for reason, count in document["drops"].items():
        yield f"  {reason}", f"{count:,}"
    yield "flows", f"{document['flows']:,}"
    for name in ("reads", "commits"):
        packet, flow = document[f"{name}_per_packet"] or 0, document[f"{name}_per_flow"] or 0
        yield f"store {name}", f"{document[name]:,} ({packet:.3f} a packet, {flow:.2f} a flow)"
    yield "conflicts", f"{document['conflicts']:,}"
