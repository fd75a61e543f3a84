"""Pictures of `snf bench failover`, `asymmetry` and `scaling`, in the manner of the paper's figures 8, 2d and 9."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from statelessnf.bench.failover import Measured
from statelessnf.bench.pictures import Row, new_figure, save
from statelessnf.bench.scaling import Run

COLOURS = {"stateless": "tab:blue", "baseline": "tab:gray", "linux": "tab:orange", "plain": "tab:green"}
FADED = 0.45  # of a bar without a failure


def failover(measured: Measured, blackouts: Sequence[Row], path: Path) -> None:
    """Figure 8: seconds that the downloads took, without and with a failure; and every blackout."""
    figure, (downloads, gaps) = new_figure(1, 2, figsize=(12, 4.5))
    _downloads(downloads, measured)
    _blackouts(gaps, measured, blackouts)
    save(figure, path)


def _downloads(axis: Any, measured: Measured) -> None:
    sides = list(dict.fromkeys(whole.side for whole, _ in measured.pairs))
    for place, side in enumerate(sides):
        pairs = [pair for pair in measured.pairs if pair[0].side == side]
        for which, offset in ((0, -0.2), (1, 0.2)):
            seconds = sorted(pair[which].seconds for pair in pairs)
            whole = min(pair[which].completed for pair in pairs)
            words = f"{whole} of {measured.plan.downloads}"
            axis.annotate(words, (place + offset, max(seconds)), ha="center", va="bottom", fontsize=8)
            alpha = FADED if which == 0 else 1.0
            axis.bar(place + offset, seconds[len(seconds) // 2], 0.36, color=COLOURS[side], alpha=alpha)
            axis.plot([place + offset] * len(seconds), seconds, "k.", markersize=4)
    axis.set_xticks(range(len(sides)), sides)
    axis.set(ylabel="seconds", title="all downloads: without a failure (pale), with kill -9")


def _blackouts(axis: Any, measured: Measured, rows: Sequence[Row]) -> None:
    labels = list(dict.fromkeys(trial.failure for trial in measured.trials))
    for trial in measured.trials:
        sides = list(COLOURS)
        place = labels.index(trial.failure) + 0.2 * (sides.index(trial.side) - 1)
        axis.plot(place, max(trial.blackout_ms, 0.1), "o", color=COLOURS[trial.side], alpha=0.6)
    for side in dict.fromkeys(row["side"] for row in rows):
        axis.plot([], [], "o", color=COLOURS[side], label=side)
    axis.set_xticks(range(len(labels)), [str(label) for label in labels])
    axis.set(ylabel="ms without a packet", title="a stream alone, each failure", ylim=(0, None))
    axis.grid(alpha=0.3)
    axis.legend()


def asymmetry(rows: Sequence[Row], path: Path) -> None:
    """Figure 2d: connections a second and goodput, as shares of symmetric steering."""
    figure, axes = new_figure(1, 2, figsize=(11, 4))
    panels = (("setup_ratio", "connections set up"), ("goodput_ratio", "goodput"))
    for axis, (key, title) in zip(axes, panels, strict=True):
        labels = [f"{row['side']}\n{row['way']}" for row in rows]
        axis.bar(labels, [row[key] for row in rows], color=[COLOURS[row["side"]] for row in rows])
        axis.axhline(0.9, color="tab:red", linestyle="--", linewidth=1)
        axis.set(title=title, ylabel="share of symmetric")
        axis.tick_params(axis="x", labelsize=7)
    save(figure, path)


def scaling(runs: Sequence[Run], path: Path) -> None:
    """Figure 9: what arrived of the offered load over time, and how many instances carried it; a side's first run."""
    figure, (goodput, sizes) = new_figure(2, 1, figsize=(9, 6), sharex=True)
    shown = {run.side: run for run in reversed(runs)}
    for side, run in shown.items():
        times = [sample.time for sample in run.samples]
        goodput.plot(times, [sample.arrived / 1e3 for sample in run.samples], color=COLOURS[side], label=side)
        counts = [sample.instances for sample in run.samples]
        sizes.step(times, counts, color=COLOURS[side], where="pre")
    ideal = next(iter(shown.values()))
    times = [sample.time for sample in ideal.samples]
    goodput.plot(times, [sample.offered / 1e3 for sample in ideal.samples], "k--", linewidth=1, label="offered")
    goodput.set(ylabel="thousand packets/s", ylim=(0, None))
    goodput.legend()
    sizes.set(ylabel="instances", xlabel="seconds", ylim=(0, None))
    save(figure, path)
