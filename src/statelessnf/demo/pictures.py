"""The demonstrations' pictures, as PNG; what the orchestrator did is marked."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from statelessnf.demo import asymmetry, scaling
from statelessnf.demo.chronicle import Happening
from statelessnf.demo.failover_result import Result
from statelessnf.demo.rates import between

MARKS = {
    "kill": ("tab:red", 0.04),
    "suspect": ("tab:orange", 0.14),
    "steer": ("tab:green", 0.24),
    "live": ("tab:olive", 0.34),
    "scale": ("tab:purple", 0.44),
}  # colour, and where the word stands, as a share of the height


def failover(result: Result) -> bytes:
    """Goodput over time, and packets to each place."""
    figure, (goodput, packets) = _new_figure(2, 1)
    _goodput(goodput, result)
    _packets(packets, result)
    marks = [] if result.killed_at is None else [Happening(result.killed_at, "kill", result.killed, "")]
    for axes in (goodput, packets):
        _mark(axes, [*marks, *result.events])
    return _png(figure)


def _goodput(axes: Any, result: Result) -> None:
    setting = result.setting
    state = "local state" if setting.baseline else "no state in the instances"
    what = f"{setting.files} downloads of {setting.size / 1e6:g} MB"
    axes.set_title(f"{what}, {state}: {result.completed} complete ({setting.switch})")
    times, rates = between([(sample.time, sample.bytes) for sample in result.samples])
    axes.plot(times, [rate * 8 / 1e6 for rate in rates], color="tab:blue")
    axes.set(ylabel="goodput, Mbit/s", ylim=(0, None))


def _packets(axes: Any, result: Result) -> None:
    for place in range(len(result.samples[0].packets)):
        times, rates = between([(sample.counted, sample.packets[place]) for sample in result.samples])
        axes.plot(times, [rate / 1e3 for rate in rates], label=f"place {place}")
    axes.set(ylabel="thousand packets/s", xlabel="seconds", ylim=(0, None))
    axes.legend(loc="upper right")


def scaled(result: scaling.Result) -> bytes:
    """What was offered and what arrived over time, and how many instances carried it."""
    assert result.run is not None
    figure, (goodput, sizes) = _new_figure(2, 1)
    samples = result.run.samples
    times = [sample.time for sample in samples]
    state = "local state" if result.baseline else "no state in the instances"
    goodput.set_title(f"offered load and what arrived, {state}: goodput {result.run.goodput:.4f} ({result.switch})")
    goodput.plot(times, [sample.arrived / 1e3 for sample in samples], color="tab:blue", label="arrived")
    goodput.plot(times, [sample.offered / 1e3 for sample in samples], "k--", linewidth=1, label="offered")
    goodput.set(ylabel="thousand packets/s", ylim=(0, None))
    goodput.legend(loc="upper right")
    sizes.step(times, [sample.instances for sample in samples], color="tab:blue", where="pre")
    sizes.set(ylabel="instances", xlabel="seconds", ylim=(0, None))
    for axes in (goodput, sizes):
        _mark(axes, result.events)
    return _png(figure)


def asymmetric(result: asymmetry.Result) -> bytes:
    """Connections a second and goodput, each way."""
    figure, (connections, goodput) = _new_figure(1, 2)
    ways = [str(part.way) for part in result.parts]
    connections.bar(ways, [part.connects.visits_per_second for part in result.parts], color="tab:blue")
    connections.set(ylabel="connections/s")
    goodput.bar(ways, [part.mbit_s for part in result.parts], color="tab:blue")
    goodput.set(ylabel="goodput, Mbit/s")
    state = "local state" if result.baseline else "no state in the instances"
    figure.suptitle(f"ways of packets, {state} ({result.switch})")
    return _png(figure)


def _new_figure(rows: int, columns: int) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, sharex=columns == 1)


def _mark(axes: Any, happened: Sequence[Happening]) -> None:
    """A line for each event since the story began, and the kill by name."""
    axes.grid(alpha=0.3)
    for one in happened:
        if one.time >= 0 and one.kind in MARKS:
            colour, height = MARKS[one.kind]
            line, words = ("--", f" kill -9 {one.instance}") if one.kind == "kill" else (":", f" {one.kind}")
            axes.axvline(one.time, color=colour, linestyle=line, linewidth=1)
            place = (one.time, height)
            axes.annotate(words, place, xycoords=("data", "axes fraction"), color=colour, fontsize=7)


def _png(figure: Any) -> bytes:
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    return png.getvalue()
