"""What a run of the demo has measured, and what follows from it: pure data and pure functions."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from statelessnf.lab.downloads import Ended

BLACKOUT_WINDOW = 2.0


@dataclass(frozen=True)
class Sample:
    """One moment, `time` in seconds since the first request; all other figures are totals since then.

    `packets` and `alive` have one entry for each instance; `packets` were counted at the time `counted`. `reads` and
    `commits` are those of all instances together. `pause` is the longest time in seconds without a byte to any client
    that ended since the last sample.
    """

    time: float
    bytes: int
    running: int
    pause: float
    counted: float
    packets: tuple[int, ...]
    alive: tuple[bool, ...]
    reads: int
    commits: int


@dataclass
class Result:
    """One run: `files` downloads of `size` bytes; a client gives up after `timeout` seconds without a byte.

    Times in seconds since the first request; None where the run did not get so far.
    """

    baseline: bool
    files: int
    size: int
    timeout: float
    killed_instance: int
    samples: list[Sample] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    killed_at: float | None = None
    noticed_at: float | None = None
    steered_at: float | None = None

    @property
    def outcomes(self) -> dict[str, int]:
        """Downloads by outcome."""
        return dict(Counter(end.outcome for end in self.ended))

    @property
    def completed(self) -> int:
        """Downloads that arrived whole, checksum verified."""
        return self.outcomes.get("ok", 0)

    @property
    def blackout(self) -> float | None:
        """Longest time in seconds without a byte to any client, from the kill to BLACKOUT_WINDOW after it."""
        if self.killed_at is None:
            return None
        end = self.killed_at + BLACKOUT_WINDOW
        return max((s.pause for s in self.samples if self.killed_at <= s.time <= end + s.pause), default=None)

    def shows(self) -> bool:
        """Whether the run has shown what it is for: an instance was killed in the middle, both had carried traffic, and
        then all downloads completed; with `baseline`, none had broken before and some did after."""
        if self.killed_at is None or self.steered_at is None or not all(self._packets_at_kill()):
            return False
        if not self.baseline:
            return self.completed == self.files
        return self.completed < self.files and all(
            end.outcome == "ok" or end.time > self.killed_at for end in self.ended
        )

    def summary(self) -> list[str]:
        """The lines that are printed at the end."""
        return [*self._download_lines(), *self._kill_lines(), *self._instance_lines(), self._conclusion()]

    def document(self) -> dict[str, Any]:
        """Everything for JSON: the figures of the summary and all samples."""
        figures = {"completed": self.completed, "outcomes": self.outcomes, "blackout": self.blackout}
        return {**asdict(self), **figures, "shown": self.shows()}

    def _packets_at_kill(self) -> tuple[int, ...]:
        before = [s.packets for s in self.samples if self.killed_at is not None and s.time <= self.killed_at]
        return before[-1] if before else (0,)

    def _download_lines(self) -> list[str]:
        broken = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()) if name != "ok")
        last = self.samples[-1]
        rate = last.bytes * 8 / last.time / 1e6 if last.time > 0 else 0.0
        return [
            f"downloads   {self.completed} of {self.files} complete, checksums verified ({self.size / 1e6:g} MB each)",
            f"broken      {self.files - self.completed}{f' ({broken})' if broken else ''}; "
            f"a client gives up after {self.timeout:g} s without a byte",
            f"time        {last.time:.1f} s, {rate:.0f} Mbit/s on average",
        ]

    def _kill_lines(self) -> list[str]:
        if self.killed_at is None or self.noticed_at is None or self.steered_at is None:
            return ["kill        did not happen: too few bytes arrived"]
        noticed, steered = (self.noticed_at - self.killed_at) * 1e3, (self.steered_at - self.noticed_at) * 1e3
        blackout = "unknown" if self.blackout is None else f"{self.blackout * 1e3:.0f} ms"
        return [
            f"kill        instance {self.killed_instance} by SIGKILL after {self.killed_at:.1f} s; its end was seen "
            f"{noticed:.0f} ms later, the traffic moved in {steered:.1f} ms",
            f"blackout    {blackout} at most without a byte to any client around the kill",
        ]

    def _instance_lines(self) -> list[str]:
        last = self.samples[-1]
        packets = ", ".join(f"instance {i}: {count}" for i, count in enumerate(last.packets))
        return [f"packets     {packets}", f"store       {last.reads} reads, {last.commits} commits"]

    def _conclusion(self) -> str:
        if self.baseline and self.shows():
            return "With state in the instances' own memory, the dead instance's downloads died with it."
        if self.shows():
            return "No download broke: no instance held any state."
        return "This run did not show what it should."
