"""`snf bench latency`: Figure 7 of the paper. How long a packet takes through an instance, and back.

Our process sends packets of established flows at a steady rate into one of two veth pairs and takes them back from the
other; between them is the process of one side on `net_af_xdp` ports. While packets come this often, both poll. `plain`
is the wire: a process that only forwards. What a side adds is the difference to another one within the same turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from statelessnf.bench.deployments import Document, Service
from statelessnf.bench.port_sides import PLAIN, Load, Place, PortSide, port_sides
from statelessnf.bench.slices import Interval, median_interval, take_turns
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, connect
from statelessnf.namespaces import Namespace

SIDES = (PLAIN, "baseline", "off", "tracked")
BARS = {"off": 100.0, "tracked": 5.0}  # µs that the median may be above the baseline's
RATE = 20_000  # packets a second
FRAME_BYTES = 64
FLOWS = 64
ENDLESS = 1_000_000_000  # packets of a flow: none ends while we measure
WARM_UP = 0.02  # seconds of each slice that do not count: a process that slept wakes up

Times = NDArray[np.float64]  # µs


@dataclass(frozen=True)
class Row:
    """One side. Quantiles over all slices, µs; what is added: medians over turns, with their interval of 95 %."""

    shape: str
    frame_bytes: int
    mode: str
    packets_per_second: int
    samples: int
    p50_us: float
    p95_us: float
    p99_us: float
    added_us: float | None  # to the baseline's p50
    added_low_us: float | None
    added_high_us: float | None
    added_to_plain_us: float | None
    bar_us: float | None
    lost: int
    late: int

    @property
    def met(self) -> bool | None:
        return None if self.bar_us is None or self.added_us is None else self.added_us <= self.bar_us

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


class Measured:
    """One side's round trips so far."""

    def __init__(self, side: PortSide, slice_s: float) -> None:
        self.side, self._slice_s = side, slice_s
        self.slices: list[Times] = []

    def median(self) -> float:
        """One slice more; its median, µs."""
        raw = self.side.round_trips(self._slice_s, RATE, WARM_UP)
        self.slices.append(np.frombuffer(raw, np.uint32) / 1000)
        return float(np.median(self.slices[-1]))

    def times(self) -> Times:
        """All but those of the first slice, which does not count."""
        return np.concatenate(self.slices[1:])


def measure_latency(
    turns: int, slice_s: float, document: Document, service: Service | None, progress: Callable[[int], None]
) -> tuple[list[Row], dict[str, Times]]:
    """Rows, and all round trips of each side. `document`: a deployment's tables, `service`: whom its clients ask.

    Raises LabError (needs root), StartFailed.
    """
    load = Load(ENDLESS, FLOWS, FRAME_BYTES, service)
    with Lab() as lab:
        generator = lab.namespace("generator")
        places = {mode: place(lab, generator, mode, number) for number, mode in enumerate(SIDES)}
        with port_sides(places, load, lab.folder, document) as sides:
            measured = {mode: Measured(side, slice_s) for mode, side in sides.items()}
            medians = take_turns({mode: one.median for mode, one in measured.items()}, turns, progress)
            rows = [_row(mode, one, medians) for mode, one in measured.items()]
    return rows, {mode: one.times() for mode, one in measured.items()}


def place(lab: Lab, generator: Namespace, mode: str, number: int) -> Place:
    """A namespace with interfaces `inside` and `outside`, both linked to the generator's."""
    namespace = lab.namespace(mode)
    for side in ("inside", "outside"):
        connect(Interface(generator, f"{side}{number}"), Interface(namespace, side))
    ours = [f"net_af_xdp{2 * number + i},iface={side}{number}" for i, side in enumerate(("inside", "outside"))]
    its = "net_af_xdp0,iface=inside", "net_af_xdp1,iface=outside"
    return Place(namespace, its, (ours[0], ours[1]), generator)


def added(medians: dict[str, list[float]], mode: str, to: str) -> Interval:
    """How much higher one side's medians are than another's, turn by turn."""
    return median_interval([a - b for a, b in zip(medians[mode], medians[to], strict=True)])


def _row(mode: str, measured: Measured, medians: dict[str, list[float]]) -> Row:
    p50, p95, p99 = (round(float(value), 2) for value in np.percentile(measured.times(), (50, 95, 99)))
    figures = measured.side.counts()
    over = added(medians, mode, "baseline") if mode in BARS else None
    return Row(
        shape="long",
        frame_bytes=FRAME_BYTES,
        mode=mode,
        packets_per_second=RATE,
        samples=len(measured.times()),
        p50_us=p50,
        p95_us=p95,
        p99_us=p99,
        added_us=None if over is None else round(over.median, 2),
        added_low_us=None if over is None else round(over.low, 2),
        added_high_us=None if over is None else round(over.high, 2),
        added_to_plain_us=None if mode == PLAIN else round(added(medians, mode, PLAIN).median, 2),
        bar_us=BARS.get(mode),
        lost=figures["resent"],
        late=figures["late"],
    )
