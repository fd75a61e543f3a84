"""What a run of `snf demo failover` has measured, and what follows from it: pure data and pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from statelessnf.demo.chronicle import Happening
from statelessnf.lab.downloads import Ended

BLACKOUT_WINDOW = 2.0


@dataclass(frozen=True)
class Sample:
    """One moment, `time` in seconds since the first request; all other figures are totals since then.

    `packets`: what each place for an instance was given, counted at the time `counted`. `reads` and `commits` are those
    of all instances together, as they said last. `pause` is the longest time in seconds without a byte to any client
    that ended since the last sample.
    """

    time: float
    bytes: int
    running: int
    pause: float
    counted: float
    packets: tuple[int, ...]
    reads: int
    commits: int


@dataclass(frozen=True)
class Setting:
    """What was run: `files` downloads of `size` bytes; a client gives up after `timeout` seconds without a byte."""

    baseline: bool
    switch: str
    spread: str
    files: int
    size: int
    timeout: float


@dataclass
class Result:
    """One run. `killed`: the instance; times in seconds since the first request, None where it did not get so far."""

    setting: Setting
    samples: list[Sample] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    events: list[Happening] = field(default_factory=list)
    killed: str = ""
    killed_at: float | None = None

    @property
    def outcomes(self) -> dict[str, int]:
        """Downloads by outcome."""
        return dict(Counter(end.outcome for end in self.ended))

    @property
    def completed(self) -> int:
        """Downloads that arrived whole, checksum verified."""
        return self.outcomes.get("ok", 0)

    @property
    def noticed_at(self) -> float | None:
        """When the orchestrator said first that the instance had ended, or was silent."""
        return self._first(lambda one: one.instance == self.killed and one.kind in ("end", "suspect"))

    @property
    def steered_at(self) -> float | None:
        """When the switch had confirmed that the instance gets no traffic any more."""
        return self._first(lambda one: one.kind == "steer" and self.killed not in one.text)

    @property
    def replaced_at(self) -> float | None:
        """When its successor, which was started after the kill, was live."""
        killed = self.killed_at
        started = {
            one.instance for one in self.events if one.kind == "start" and killed is not None and one.time > killed
        }
        return self._first(lambda one: one.kind == "live" and one.instance in started)

    @property
    def false_suspicions(self) -> int:
        """How often the orchestrator suspected an instance that nobody had killed."""
        killed = float("inf") if self.killed_at is None else self.killed_at
        return sum(one.kind == "suspect" and (one.instance != self.killed or one.time < killed) for one in self.events)

    @property
    def blackout(self) -> float | None:
        """Longest time in seconds without a byte to any client, from the kill to BLACKOUT_WINDOW after it."""
        if self.killed_at is None:
            return None
        end = self.killed_at + BLACKOUT_WINDOW
        return max((s.pause for s in self.samples if self.killed_at <= s.time <= end + s.pause), default=None)

    def shows(self) -> bool:
        """Whether the run has shown what it is for: an instance was killed in the middle, two had carried traffic, and
        then all downloads completed; with `baseline`, none had broken before and some did after."""
        if self.killed_at is None or self.steered_at is None or self._carried_before() < 2:
            return False
        if not self.setting.baseline:
            return self.completed == self.setting.files
        return self.completed < self.setting.files and all(
            end.outcome == "ok" or end.time > self.killed_at for end in self.ended
        )

    def document(self) -> dict[str, Any]:
        """Everything for JSON: the figures of the summary, all samples and events."""
        figures = {"completed": self.completed, "outcomes": self.outcomes, "blackout": self.blackout}
        times = {"noticed_at": self.noticed_at, "steered_at": self.steered_at, "replaced_at": self.replaced_at}
        return {**asdict(self), **figures, **times, "shown": self.shows()}

    def _carried_before(self) -> int:
        """How many instances had been given packets when one was killed."""
        before = [s.packets for s in self.samples if self.killed_at is not None and s.time <= self.killed_at]
        return sum(count > 0 for count in before[-1]) if before else 0

    def _first(self, which: Callable[[Happening], bool]) -> float | None:
        """When the first such event after the kill was told."""
        killed = self.killed_at
        return next((one.time for one in self.events if killed is not None and one.time >= killed and which(one)), None)
