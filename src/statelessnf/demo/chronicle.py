"""What the orchestrator says while a story is told: its events, and its instances as they are now.

It is asked over its API, as an operator would. Times are seconds since the story began, by the events' own clock.
"""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass

from statelessnf.errors import LabError
from statelessnf.lab.orchestra import Orchestra


@dataclass(frozen=True)
class Happening:
    """One event of the orchestrator, in its own words; `time` is negative before the story began."""

    time: float
    kind: str
    instance: str
    text: str

    def line(self) -> str:
        """For whoever watches."""
        return f"{self.time:6.2f} s  {self.kind:8} {self.instance:10} {self.text}"


@dataclass(frozen=True)
class Seen:
    """One instance now: `health` as the orchestrator sees it; `steered`: it gets traffic."""

    name: str
    slot: int
    health: str
    steered: bool


class Chronicle:
    """Of one orchestrator; `began`: when the story did (s, monotonic)."""

    def __init__(self, orchestra: Orchestra, began: float) -> None:
        self.happened: list[Happening] = []
        self.instances: tuple[Seen, ...] = ()
        self._orchestra, self._last = orchestra, 0
        self._origin = time.time() - time.monotonic() + began  # of the events' clock
        self._operations: dict[str, tuple[int, int]] = {}

    def look(self) -> list[Happening]:
        """What is new. Raises LabError if the orchestrator has ended or does not answer."""
        try:
            events, instances = self._orchestra.events(self._last), self._orchestra.instances()
        except (OSError, http.client.HTTPException) as error:
            self._orchestra.check()
            raise LabError(f"the orchestrator does not answer: {error}") from error
        new = [Happening(e["time"] - self._origin, e["kind"], e["instance"], e["text"]) for e in events]
        self._last = events[-1]["number"] if events else self._last
        self.happened += new
        self.instances = tuple(Seen(one["name"], one["slot"], one["health"], one["steered"]) for one in instances)
        for one in instances:
            figures = one["figures"]
            if figures:
                self._operations[one["name"]] = int(figures.get("reads", 0)), int(figures.get("commits", 0))
        return new

    def operations(self) -> tuple[int, int]:
        """Reads and commits of all instances there ever were, as they said last."""
        every = self._operations.values()
        return sum(reads for reads, _ in every), sum(commits for _, commits in every)
