"""`snf bench throughput --port memif`: instances on shared-memory ports, compared with plain forwarding there (§7.2.1).

Our process makes long flows on the fly and takes them back; between the two ends is the process of one side: the plain
forwarder, the baseline, or an instance with its records in the store. On a machine of two cores our process has one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from statelessnf.bench.deployments import Document
from statelessnf.bench.port_sides import OWN_NETWORK, PLAIN, Load, Place, PortSide, port_sides
from statelessnf.bench.slices import median_interval, ratio, take_turns
from statelessnf.bench.throughput import BAR_FRAME, Row

SIDES = (PLAIN, "baseline", "tracked")
BARS = {"tracked": 0.6}
PAPER_MPPS = 4.6  # 64 B, §7.2.1
LONG = (10_000, 3_000)  # packets of a flow, flows at a time
WINDOW = 1024  # packets on their way: what a ring has places for; more would be lost
WARM_UP = 0.02  # seconds: a process that slept wakes up


def place(folder: Path, mode: str, number: int) -> Place:
    """Two memif links. The end that is called server makes the socket, so it comes first: it is ours."""
    sockets = [f"socket={folder}/{mode}-{side}.sock,socket-abstract=no" for side in ("inside", "outside")]
    its = [f"net_memif{i},role=client,{socket}" for i, socket in enumerate(sockets)]
    ours = [f"net_memif{2 * number + i},role=server,{socket}" for i, socket in enumerate(sockets)]
    return Place(OWN_NETWORK, (its[0], its[1]), (ours[0], ours[1]), OWN_NETWORK)


def measure_memif(
    load: Load, turns: int, slice_s: float, document: Document, progress: Callable[[int], None]
) -> list[Row]:
    """All sides, in turns. `document`: a deployment's tables. Raises StartFailed, LabError."""
    with tempfile.TemporaryDirectory(prefix="snf-bench-") as name:
        folder = Path(name)
        places = {mode: place(folder, mode, number) for number, mode in enumerate(SIDES)}
        with port_sides(places, load, folder, document) as sides:
            rates = take_turns({mode: _measure(side, slice_s) for mode, side in sides.items()}, turns, progress)
            return [_row(load.frame_bytes, side, rates) for side in sides.values()]


def _measure(side: PortSide, slice_s: float) -> Callable[[], float]:
    return lambda: side.mpps(slice_s, WINDOW, WARM_UP)


def _row(frame_bytes: int, side: PortSide, rates: dict[str, list[float]]) -> Row:
    mode, figures = side.mode, side.end()
    packets = figures["forwarded"]
    flows = max(packets / LONG[0], 1e-9)
    mpps, compared = median_interval(rates[mode]).median, ratio(rates, mode, PLAIN)
    return Row(
        shape="long",
        frame_bytes=frame_bytes,
        mode=mode,
        mpps=round(mpps, 3),
        gbit_s=round(mpps * frame_bytes * 8 / 1000, 3),
        ratio=round(compared.median, 3),
        ratio_low=round(compared.low, 3),
        ratio_high=round(compared.high, 3),
        against="plain memif forwarding",
        bar=BARS.get(mode) if frame_bytes == BAR_FRAME else None,
        commits_per_flow=round(figures["commits"] / flows, 2),
        reads_per_flow=round(figures["reads"] / flows, 2),
        reads_per_packet=round(figures["reads"] / max(packets, 1), 3),
        drops=side.counts()["resent"],  # whoever lost them
    )
