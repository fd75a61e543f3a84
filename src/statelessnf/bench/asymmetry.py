"""`snf bench asymmetry`: Figure 2d of the paper. Connections whose directions, or packets, take different ways.

Slices of each way alternate on one subject: in one part visitors fetch a single byte again and again, which
measures how connections are set up; in the other they fetch whole files, which measures goodput: once as fast as the
processors can, and once over links of a rate. The processors are shared by hosts, switch and instances, and a way on
which packets overtake each other takes more of the hosts' time (an acknowledgement for each late packet, RFC 5681
§4.2), whatever stands in it: the side `plain` shows how much. Over links that leave processors time, goodput shows what
the way does to connections. Ratios are to the symmetric slice of the same turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from statelessnf.bench.instruments.visits import SliceFigures, Visits, quantile
from statelessnf.bench.slices import Interval, median_interval
from statelessnf.bench.subjects.registry import LED_BY_HAND, Bed, bed
from statelessnf.bench.subjects.subject import Way
from statelessnf.builder import build
from statelessnf.find import find_function
from statelessnf.lab.links import Interface
from statelessnf.lab.shaping import limited

INSTANCES = 3
BAR = 0.9
OURS = "stateless"
SMALL = "/one"  # a file of one byte
CONNECTING = 2  # visitors of a single byte: they leave processors some time, so that the way counts, not who waits
FETCHING = 4  # visitors of whole files
LINK_MBIT = 200  # of both hosts' links: the processors have a fifth of their time left
TIMEOUT = 20.0  # seconds that a visit may take


@dataclass(frozen=True)
class Turn:
    """One turn of one side: what each way gave. `linked`: files over links of LINK_MBIT."""

    side: str
    connects: dict[Way, SliceFigures]
    files: dict[Way, SliceFigures]
    linked: dict[Way, SliceFigures]

    def json(self) -> dict[str, Any]:
        """Without the single times."""
        every = {"connects": self.connects, "files": self.files, "linked": self.linked}
        long = ("connect_ms", "answer_ms")
        return {"side": self.side} | {
            kind: {str(way): {k: v for k, v in asdict(figures).items() if k not in long} for way, figures in of.items()}
            for kind, of in every.items()
        }


def measure(sides: Sequence[str], turns: int, slice_s: float, size: int, progress: Callable[[str], None]) -> list[Turn]:
    """`turns` turns of each side, of slices of `slice_s` seconds: for each way one of connections, two of files.

    `size`: of the files, in bytes. Raises LabError, BuildError.
    """
    build(find_function("firewall"))
    measured: list[Turn] = []
    for side in sides:
        with bed(side, INSTANCES, size, 1, LED_BY_HAND) as made:
            (made.folder / "files" / SMALL[1:]).write_bytes(b"x")
            visits = Visits(made.stack, made.subject.clients, made.subject.server_address, made.folder)
            measured += [_turn(made, visits, slice_s, progress) for _ in range(turns)]
    return measured


def _turn(made: Bed, visits: Visits, slice_s: float, progress: Callable[[str], None]) -> Turn:
    connects, files, linked = {}, {}, {}
    hosts = [Interface(host, "eth0") for host in (made.subject.clients, made.subject.server)]
    for way in (way for way in Way if way in made.subject.ways):
        progress(f"{made.subject.name}: {way}")
        made.subject.steer(way)
        connects[way] = visits.slice(SMALL, slice_s, CONNECTING, TIMEOUT)
        files[way] = visits.slice(made.files[0].path, slice_s, FETCHING, TIMEOUT)
        with limited(hosts, LINK_MBIT):
            linked[way] = visits.slice(made.files[0].path, slice_s, FETCHING, TIMEOUT)
        made.subject.check()
    return Turn(made.subject.name, connects, files, linked)


def rows(measured: Sequence[Turn]) -> list[dict[str, Any]]:
    """A row for each side and way."""
    found = []
    for side in dict.fromkeys(turn.side for turn in measured):
        turns = [turn for turn in measured if turn.side == side]
        found += [_row(turns, way) for way in turns[0].connects]
    return found


def _row(turns: Sequence[Turn], way: Way) -> dict[str, Any]:
    connects = [turn.connects[way] for turn in turns]
    times = [time for one in connects for time in one.connect_ms]
    answers = [time for one in connects for time in one.answer_ms]
    setup = _ratio([(turn.connects[way], turn.connects[Way.symmetric]) for turn in turns], "visits_per_second")
    goodput = _ratio([(turn.linked[way], turn.linked[Way.symmetric]) for turn in turns], "bytes_per_second")
    saturated = _ratio([(turn.files[way], turn.files[Way.symmetric]) for turn in turns], "bytes_per_second")
    row = {
        "side": turns[0].side,
        "way": str(way),
        "connections_per_s": median_interval([one.visits_per_second for one in connects]).median,
        "connect_p50_ms": quantile(times, 0.5),
        "connect_p99_ms": quantile(times, 0.99),
        "answer_p50_ms": quantile(answers, 0.5),
        "failed": sum(sum(one.failed.values()) for one in connects),
        "mbit_s": _mbit([turn.linked[way] for turn in turns]),
        "saturated_mbit_s": _mbit([turn.files[way] for turn in turns]),
        "setup_ratio": setup.median,
        "goodput_ratio": goodput.median,
        "goodput_low": goodput.low,
        "goodput_high": goodput.high,
        "saturated_ratio": saturated.median,
        "saturated_low": saturated.low,
        "saturated_high": saturated.high,
    }
    if turns[0].side == OURS and way is not Way.symmetric:
        row |= {"bar": BAR, "met": setup.median >= BAR and goodput.median >= BAR and row["failed"] == 0}
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}


def _mbit(figures: Sequence[SliceFigures]) -> float:
    return median_interval([one.bytes_per_second for one in figures]).median * 8e-6


def _ratio(pairs: Sequence[tuple[SliceFigures, SliceFigures]], figure: str) -> Interval:
    """Turn by turn; 0 where nothing came in the symmetric slice either."""
    values = [(getattr(one, figure), getattr(other, figure)) for one, other in pairs]
    return median_interval([one / other if other else 0.0 for one, other in values])
