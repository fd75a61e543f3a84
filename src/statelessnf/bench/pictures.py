"""Pictures of benchmark results, in the manner of the paper's figures. Drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from statelessnf.errors import SnfError

COLOURS = {"plain": "tab:green", "baseline": "tab:gray", "off": "tab:orange", "tracked": "tab:blue"}
TITLES = {
    "long": "long flows (10,000 packets)",
    "short": "short flows (100 packets)",
    "enterprise": "enterprise trace",
    "new": "new flows (one packet)",
}
BARS = {"enterprise": ("gbit_s", "Gbit/s"), "new": ("mpps", "million flows/s")}  # shapes of one size: figure, label
Row = Mapping[str, Any]


def save(figure: Any, path: Path) -> None:
    """Complete or not at all. Raises SnfError where it cannot be written."""
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(partial, format="png", dpi=110)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise SnfError(f"cannot write: {error.strerror}", str(path), "choose another place with --output") from None
    finally:
        plt.close(figure)


def new_figure(rows: int, columns: int, **options: Any) -> tuple[Any, Any]:
    """A figure and its axes."""
    made: tuple[Any, Any] = plt.subplots(rows, columns, layout="constrained", **options)
    return made


def throughput(rows: Sequence[Row], path: Path) -> None:
    """Figures 5 and 6: Mpps by frame size for each shape; Gbit/s for the capture; new flows a second."""
    shapes = [shape for shape in TITLES if any(row["shape"] == shape for row in rows)]
    figure, axes = plt.subplots(1, len(shapes), figsize=(5 * len(shapes), 4), squeeze=False, layout="constrained")
    for axis, shape in zip(axes[0], shapes, strict=True):
        axis.set_title(TITLES[shape])
        chosen = [row for row in rows if row["shape"] == shape]
        if shape in BARS:
            _bars(axis, chosen, *BARS[shape])
        else:
            _lines(axis, chosen)
    save(figure, path)


def _lines(axis: Any, rows: Sequence[Row]) -> None:
    for mode, colour in COLOURS.items():
        points = sorted({(row["frame_bytes"], row["mpps"]) for row in rows if row["mode"] == mode})
        if points:
            axis.plot(*zip(*points, strict=True), marker="o", color=colour, label=mode)
    axis.set(xlabel="frame (bytes)", ylabel="million packets/s", ylim=(0, None))
    axis.legend()


def _bars(axis: Any, rows: Sequence[Row], figure: str, label: str) -> None:
    by_mode = {row["mode"]: row[figure] for row in rows}  # a mode that is compared with two others has two rows
    axis.bar(list(by_mode), list(by_mode.values()), color=[COLOURS[mode] for mode in by_mode])
    axis.set(ylabel=label)


def latency(times: Mapping[str, Any], path: Path) -> None:
    """Figure 7: which share of the packets was back within how many µs. `times`: µs of each packet, by side."""
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for mode, values in times.items():
        ordered = np.sort(values)
        axis.plot(ordered, np.arange(1, len(ordered) + 1) / len(ordered), color=COLOURS[mode], label=mode)
    axis.set(xlabel="round trip (µs)", ylabel="share of packets", xscale="log", ylim=(0, 1))
    axis.set_xlim(*_span(times))
    axis.grid(alpha=0.3)
    axis.legend()
    save(figure, path)


def _span(times: Mapping[str, Any]) -> tuple[float, float]:
    """From the quickest packet to where the slowest side has 99.5 % of its own."""
    return min(values.min() for values in times.values()), max(np.percentile(v, 99.5) for v in times.values())
