"""`snf demo scaling`: the offered load goes up and down, and the orchestrator splits and merges by itself.

The load is that of `snf bench scaling`: UDP flows that clients have opened and that the server feeds, so an instance
that has not got a flow's state drops its packets. What arrives is held against what is offered.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from statelessnf.bench.instruments.load import Load
from statelessnf.bench.scaling import BAR, FLOWS, INSTANCES, LEVELS, ROOM, Climb, Run, Sample
from statelessnf.bench.subjects.registry import ends
from statelessnf.demo.chronicle import Chronicle, Happening
from statelessnf.demo.stage import Request, Scene, Stage, best_switch, stage
from statelessnf.demo.view import Board, View, say_all

RATE = 2000.0  # packets/s of level 1: so little that no switch is short of time, and only scaling shows
STEP = 4.0  # seconds of a level
QUICK_LEVELS, QUICK_STEP = (1, 2, 1), 1.7


@dataclass
class Result:
    """One run; `run` is there once it has ended."""

    baseline: bool
    switch: str
    rate: float
    step: float
    levels: tuple[int, ...]
    run: Run | None = None
    events: list[Happening] = field(default_factory=list)

    def shows(self) -> bool:
        """Whether it grew and shrank by itself, and nothing was lost by it; with `baseline`: something was."""
        if self.run is None or self.run.most < 2 or self.run.samples[-1].instances >= self.run.most:
            return False
        return self.run.goodput < BAR if self.baseline else self.run.goodput >= BAR

    def summary(self) -> list[str]:
        """One fact a line, the conclusion last."""
        assert self.run is not None
        run, scaled = self.run, [one.text for one in self.events if one.kind == "scale" and one.time >= 0]
        split = "never" if run.split_ms is None else f"{run.split_ms:.0f} ms after the load went up"
        return [
            f"switch      {self.switch}, spread by flow",
            f"offered     {run.offered} packets in {FLOWS} flows, {self.rate:g} packets/s times {self.levels}",
            f"arrived     {run.arrived}: goodput {run.goodput:.5f}, of the worst level {run.lowest:.5f}",
            f"instances   {run.most} at most; the second one carried traffic: {split}",
            *(f"decision    {text}" for text in scaled),
            self._conclusion(),
        ]

    def document(self) -> dict[str, Any]:
        """Everything for JSON."""
        goodput = None if self.run is None else self.run.goodput
        return {**asdict(self), "goodput": goodput, "shown": self.shows()}

    def _conclusion(self) -> str:
        if not self.shows():
            return "This run did not show what it should."
        if self.baseline:
            return "With state in the instances' own memory, flows that moved to another instance were dropped there."
        return "Live flows moved to new instances and back, and what was offered arrived."


def play(view: View, request: Request) -> Result:
    """The whole story. Raises LabError, BuildError."""
    switch = best_switch(request.switch)
    levels, step = (QUICK_LEVELS, QUICK_STEP) if request.quick else (LEVELS, STEP)
    result = Result(request.baseline, switch, RATE, step, levels)
    with stage(view, Scene(request.baseline, switch, "flow", INSTANCES)) as made:
        _play(view, made, result)
    return result


def _play(view: View, made: Stage, result: Result) -> None:
    subject = made.subject
    subject.scale(result.rate * ROOM)
    load = Load(made.bed.stack, ends(subject, down=True), made.bed.folder, FLOWS)
    chronicle = Chronicle(subject.orchestra, time.monotonic())
    result.events = chronicle.happened
    say_all(view, chronicle.look())

    def sampled(sample: Sample) -> None:
        say_all(view, chronicle.look())
        view.update(_board(result, climb, sample, chronicle))

    climb = Climb(load, subject, sampled)
    for index, level in enumerate(result.levels):
        view.say(f"offered: {level * result.rate:,.0f} packets/s; an instance is good for {result.rate * ROOM:,.0f}")
        climb.level(level * result.rate, result.step, split=index == 1)
    subject.check()
    result.run = climb.end()
    say_all(view, chronicle.look())


def _board(result: Result, climb: Climb, sample: Sample, chronicle: Chronicle) -> Board:
    offered, arrived = sum(s.offered for s in climb.samples), sum(s.arrived for s in climb.samples)
    figures = {
        "offered": f"{sample.offered:,.0f} packets/s",
        "arrived": f"{sample.arrived:,.0f} packets/s",
        "instances": f"{sample.instances}",
        "goodput so far": f"{arrived / offered:.4f}" if offered else "",
    }
    return Board(sample.time, sample.time / (result.step * len(result.levels)), figures, chronicle.instances)
