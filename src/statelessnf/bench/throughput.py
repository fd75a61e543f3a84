"""`snf bench throughput`: Figures 5 and 6 of the paper (§7.2.1) for one function, from a memory port.

Shapes: `long` (3,000 flows of 10,000 packets in the mean), `short` (of 100), both interleaved as on a link, and
`enterprise` (the flows of a capture, over and over). Each row compares one mode with what bounds it:

    baseline  with the reference, a function that needs no state: parse, make the key, say FORWARD
    off       with the store's look-ups per key: each packet needs one
    tracked   with the baseline; for short flows with the lower of the baseline and the store's ceiling for as many
              commits as the flows needed

A slice should be as long as a short flow lives at that rate, about 300 ms: in shorter ones more flows open than end, or
fewer, and the store's part of the work varies by as much.

A function that rewrites, with clients inside, is compared with the firewall, too, both tracked and with the same
traffic; a load balancer's clients are outside, and the firewall keeps these out. `new` (a SYN each) is for a function
that creates two keys at once: new flows a second, with the store's rate of such creations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

from statelessnf.bench.deployments import INSIDE, bench_deployment, bench_document
from statelessnf.bench.forward_all import ForwardAll
from statelessnf.bench.shapes import Shape
from statelessnf.bench.sides import MODES, PairSide, Side, StoreSide, mode_options
from statelessnf.bench.slices import Interval, median_interval, ratio, take_turns
from statelessnf.builder import build
from statelessnf.config import Deployment
from statelessnf.store_access import OpenStore

BARS = {("long", "tracked"): 0.9, ("short", "tracked"): 0.7, ("long", "off"): 0.8, ("long", "baseline"): 0.6}
FIREWALL = "firewall"
OF_FIREWALL = {("nat", "long"): 0.85}  # bars, both tracked
NEW_FLOWS_BAR = 0.6
NEW_FLOWS_SLICE = 0.3  # seconds at least: what is in flight when a slice ends is little of it
BAR_FRAME = 64  # bytes: the bars are for the smallest frames


@dataclass(frozen=True)
class Row:
    """One mode on one shape and frame size. Rates: medians over all slices; ratios: medians within turns, 95 %."""

    shape: str
    frame_bytes: int  # mean over the capture's frames for `enterprise`
    mode: str
    mpps: float
    gbit_s: float  # of frames with FCS, without preamble and gap
    ratio: float
    ratio_low: float
    ratio_high: float
    against: str
    bar: float | None
    commits_per_flow: float
    reads_per_flow: float
    reads_per_packet: float
    drops: int

    @property
    def met(self) -> bool | None:
        return None if self.bar is None else self.ratio >= self.bar

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def measure_shape(
    deployment: Deployment, store: OpenStore, shape: Shape, turns: int, slice_s: float, progress: Callable[[int], None]
) -> list[Row]:
    """All modes on one shape and frame size, in turns with each other and with the store."""
    program = build(deployment.function_class)
    options = {mode: mode_options(deployment, program, store, mode) for mode in MODES}
    of_function = {"program", "tables", "rules", "traits"}
    stateless = {key: value for key, value in options["baseline"].items() if key not in of_function}
    stateless["program"] = str(build(ForwardAll))
    firewall = _firewall_options(deployment, store) if _is_for_firewall(shape) else None  # built before any flow opens
    sides = {"reference": Side(shape.traffic(stateless), slice_s, reference=True)}
    sides |= {mode: Side(shape.traffic(options[mode]), slice_s) for mode in MODES}
    if firewall is not None:
        sides[FIREWALL] = Side(shape.traffic(firewall), slice_s)
    raw = StoreSide(store.access.address, slice_s, options["tracked"]["traits"])
    calls = {name: side.measure for name, side in sides.items()}
    calls |= {"lookups": raw.lookups, "commits": raw.commits}
    rates = take_turns(calls, turns, counting(sides.values(), progress))
    raw.client.close()
    counts = {mode: sides[mode].since() for mode in MODES}
    rows = []
    for mode in MODES:
        comparison = _compared(shape, mode, rates, _commits_per_flow(shape, counts[mode]))
        rows.append(_row(shape, mode, rates[mode], comparison, counts[mode]))
    if FIREWALL in sides:
        bar = OF_FIREWALL.get((deployment.function_class.name, shape.name))
        comparison = Comparison("tracked firewall", ratio(rates, "tracked", FIREWALL), bar)
        rows.append(_row(shape, "tracked", rates["tracked"], comparison, counts["tracked"]))
    return rows


def measure_new_flows(
    deployment: Deployment, store: OpenStore, shape: Shape, turns: int, slice_s: float, progress: Callable[[int], None]
) -> list[Row]:
    """New flows of one packet each, tracked, in turns with the store's own creations of pairs of keys."""
    options = mode_options(deployment, build(deployment.function_class), store, "tracked")
    slice_s = max(slice_s, NEW_FLOWS_SLICE)
    side, raw = Side(shape.traffic(options), slice_s), PairSide(store.access.address, slice_s)
    rates = take_turns({"tracked": side.measure_created, "pairs": raw.create}, turns, progress)
    raw.client.close()
    comparison = Comparison("store MSETEX 2 NX", ratio(rates, "tracked", "pairs"), NEW_FLOWS_BAR)
    return [_row(shape, "tracked", rates["tracked"], comparison, side.since())]


class Forgetful(Protocol):
    """Has statistics that can begin anew."""

    def forget(self) -> None: ...


def counting(sides: Iterable[Forgetful], progress: Callable[[int], None]) -> Callable[[int], None]:
    """A `progress` that lets the sides count from the end of the first turn on, whose rates do not count either."""
    counted = tuple(sides)

    def after(turn: int) -> None:
        if turn == 0:
            for side in counted:
                side.forget()
        progress(turn)

    return after


def _is_for_firewall(shape: Shape) -> bool:
    """Traffic of a function that rewrites, and that a firewall lets through."""
    return shape.service is not None and shape.service[0] == INSIDE


class Comparison(NamedTuple):
    """What a rate is compared with."""

    against: str
    ratio: Interval
    bar: float | None


def _firewall_options(deployment: Deployment, store: OpenStore) -> dict[str, Any]:
    """Of a firewall with the same limits, tracked, in the same store."""
    document = bench_document(FIREWALL, None, None)
    firewall = bench_deployment({**document, "name": "bench-firewall"}, None)
    alike = firewall.model_copy(update={"instance": deployment.instance})
    return mode_options(alike, build(alike.function_class), store, "tracked")


def _commits_per_flow(shape: Shape, counts: dict[str, int]) -> float:
    return counts["commits"] / _flows(shape, counts)


def _flows(shape: Shape, counts: dict[str, int]) -> float:
    return max(counts["packets"] / shape.packets_per_flow, 1e-9)


def _row(shape: Shape, mode: str, rates: list[float], comparison: Comparison, counts: dict[str, int]) -> Row:
    reads = counts["reads"] + counts["tracked_reads"]
    mpps, compared = median_interval(rates).median, comparison.ratio
    return Row(
        shape=shape.name,
        frame_bytes=shape.frame_bytes,
        mode=mode,
        mpps=round(mpps, 3),
        gbit_s=round(mpps * shape.frame_bytes * 8 / 1000, 3),
        ratio=round(compared.median, 3),
        ratio_low=round(compared.low, 3),
        ratio_high=round(compared.high, 3),
        against=comparison.against,
        bar=comparison.bar if shape.frame_bytes == BAR_FRAME else None,
        commits_per_flow=round(_commits_per_flow(shape, counts), 2),
        reads_per_flow=round(reads / _flows(shape, counts), 2),
        reads_per_packet=round(reads / max(counts["packets"], 1), 3),
        drops=counts["drops"],
    )


def _compared(shape: Shape, mode: str, rates: dict[str, list[float]], commits_per_flow: float) -> Comparison:
    bar = BARS.get((shape.name, mode))
    if mode == "baseline":
        return Comparison("reference", ratio(rates, "baseline", "reference"), bar)
    if mode == "off":
        return Comparison("store look-ups", ratio(rates, "off", "lookups"), bar)
    if shape.name != "short" or commits_per_flow == 0:
        return Comparison("baseline", ratio(rates, "tracked", "baseline"), bar)
    ceiling = [rate / commits_per_flow * shape.packets_per_flow for rate in rates["commits"]]
    bounds = [min(pair) for pair in zip(ceiling, rates["baseline"], strict=True)]
    values = [a / b for a, b in zip(rates["tracked"], bounds, strict=True)]
    lower = "baseline" if bounds == rates["baseline"] else "lower of baseline and store commits"
    return Comparison(lower, median_interval(values), bar)
