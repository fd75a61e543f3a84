"""`snf demo asymmetry`: connections whose two directions, or whose packets, go through different instances.

The same visits with symmetric routing, with each direction through another instance, and with each packet through the
next one; each way is a deployment of its own. `snf bench asymmetry` compares more precisely, in alternating slices.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from statelessnf.bench.asymmetry import FETCHING, SMALL
from statelessnf.bench.instruments.visits import SliceFigures, Visits, quantile
from statelessnf.bench.subjects.hand_steered import SPREADS
from statelessnf.bench.subjects.subject import Way
from statelessnf.demo.chronicle import Chronicle, Happening
from statelessnf.demo.stage import Request, Scene, Stage, stage
from statelessnf.demo.view import Board, View, say_all
from statelessnf.lab.orchestra import SwitchKind

INSTANCES = 2
SIZE = 2_000_000  # bytes of a file
SLICE, QUICK_SLICE = 3.0, 0.5  # seconds of visits for connections, and again for goodput
WARM = 0.3  # seconds of visits before, which do not count
ALIKE = 0.25  # of symmetric: ways are not measured at the same time; waiting for state costs a factor of thousands


@dataclass(frozen=True)
class Part:
    """What one way gave."""

    way: Way
    connects: SliceFigures
    files: SliceFigures

    @property
    def mbit_s(self) -> float:
        """Goodput of whole files."""
        return self.files.bytes_per_second * 8e-6

    def line(self) -> str:
        """For people."""
        middle = quantile(self.connects.connect_ms, 0.5)
        took = "none was set up" if middle is None else f"set up in {middle:.1f} ms (median)"
        failed = sum(self.connects.failed.values()) + sum(self.files.failed.values())
        return (
            f"{self.connects.visits_per_second:5.0f} connections/s, {took}; {self.mbit_s:.0f} Mbit/s; {failed} failed"
        )


@dataclass
class Result:
    """One run: the symmetric part first."""

    baseline: bool
    switch: str
    parts: list[Part] = field(default_factory=list)
    events: dict[str, list[Happening]] = field(default_factory=dict)  # of each way, since its first visit

    def shows(self) -> bool:
        """Whether other ways were about as good, and nothing failed; with `baseline`: whether one was not."""
        whole, others = self.parts[0], self.parts[1:]
        alike = [
            part.connects.visits_per_second >= ALIKE * whole.connects.visits_per_second
            and part.mbit_s >= ALIKE * whole.mbit_s
            and not part.connects.failed
            and not part.files.failed
            for part in others
        ]
        return bool(others) and whole.connects.visits > 0 and all(alike) is not self.baseline

    def summary(self) -> list[str]:
        """One fact a line, the conclusion last."""
        lines = [f"{part.way:11} {part.line()}" for part in self.parts]
        return [f"switch      {self.switch}", *lines, self._conclusion()]

    def document(self) -> dict[str, Any]:
        """Everything for JSON."""
        return {**asdict(self), "shown": self.shows()}

    def _conclusion(self) -> str:
        if not self.shows():
            return "This run did not show what it should."
        if self.baseline:
            return (
                "With state in the instances' own memory, an instance does not know what another one has let through."
            )
        return "Whatever way packets took, connections were set up at once; snf bench asymmetry is exact."


def play(view: View, request: Request) -> Result:
    """The whole story. Raises LabError, BuildError."""
    switch: SwitchKind = request.switch or "nftables"  # all ways through one switch, and only this one can spray
    ways = [way for way in Way if switch == "nftables" or SPREADS[way] != "packet"]
    result = Result(request.baseline, switch)
    if len(ways) < len(Way):
        view.say("OpenFlow cannot spread packet by packet: only directions are shown; --switch nftables shows both")
    for way in ways:
        with stage(view, Scene(request.baseline, switch, SPREADS[way], INSTANCES, SIZE)) as made:
            _play(view, made, result, way, QUICK_SLICE if request.quick else SLICE)
    return result


def _play(view: View, made: Stage, result: Result, way: Way, seconds: float) -> None:
    subject = made.subject
    (made.bed.folder / "files" / SMALL[1:]).write_bytes(b"x")
    visits = Visits(made.bed.stack, subject.clients, subject.server_address, made.bed.folder)
    chronicle = Chronicle(subject.orchestra, time.monotonic())
    say_all(view, chronicle.look())
    visits.slice(SMALL, WARM, FETCHING)
    connects = visits.slice(SMALL, seconds, FETCHING)
    say_all(view, chronicle.look())
    files = visits.slice(made.bed.files[0].path, seconds, FETCHING)
    say_all(view, chronicle.look())
    subject.check()
    result.parts.append(Part(way, connects, files))
    result.events[str(way)] = chronicle.happened
    view.say(f"{way}: {result.parts[-1].line()}")
    view.update(_board(result, chronicle))


def _board(result: Result, chronicle: Chronicle) -> Board:
    figures = {str(part.way): part.line() for part in result.parts}
    return Board(0.0, len(result.parts) / len(Way), figures, chronicle.instances)
