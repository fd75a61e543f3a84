"""`snf demo failover`: downloads through two instances, one of which gets `kill -9` in the middle.

When a third of the bytes have arrived the instance is killed past its orchestrator, which notices by itself, steers all
traffic to the other one, and starts a successor. With `baseline` the instances keep their state in their own memory.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from statelessnf.bench.subjects.subject import Failure
from statelessnf.demo.chronicle import Chronicle
from statelessnf.demo.failover_result import Result, Sample, Setting
from statelessnf.demo.rates import growth
from statelessnf.demo.stage import Request, Scene, Stage, best_switch, stage
from statelessnf.demo.view import Board, View, say_all
from statelessnf.lab.downloads import Downloads, Progress, start_downloads
from statelessnf.lab.orchestra import SwitchKind
from statelessnf.orchestrator.steering.steering import Spread

INSTANCES = 2
VICTIM = 0  # its slot
FILES, TIMEOUT = 100, 20.0
QUICK_FILES, QUICK_TIMEOUT = 20, 4.0
SIZES: dict[SwitchKind, int] = {"nftables": 20_000_000, "openvswitch": 2_000_000}  # bytes: half a minute or less
QUICK_SIZES: dict[SwitchKind, int] = {"nftables": 5_000_000, "openvswitch": 1_500_000}
KILL_AT = 1 / 3  # of all bytes; at 1/2 an instance that is ahead might have finished its flows


def play(view: View, request: Request) -> Result:
    """The whole story. Raises LabError: no root, nginx or a switch missing, something that does not start."""
    switch = best_switch(request.switch)
    files, size = request.files, request.size or SIZES[switch]
    if request.quick:
        files, size = QUICK_FILES, QUICK_SIZES[switch]
    timeout = QUICK_TIMEOUT if request.quick else TIMEOUT
    spread: Spread = "packet" if switch == "nftables" and not request.baseline else "flow"
    result = Result(Setting(request.baseline, switch, spread, files, size, timeout))
    scene = Scene(request.baseline, switch, spread, INSTANCES, size, files)
    with stage(view, scene) as made:
        _Failover(view, made, result).run()
    return result


class _Failover:
    """The story on a stage that is ready."""

    def __init__(self, view: View, made: Stage, result: Result) -> None:
        self._view, self._result, self._subject, self._bed = view, result, made.subject, made.bed

    def run(self) -> None:
        """Until the last download has ended; fills the result."""
        setting, subject = self._result.setting, self._subject
        what = f"{setting.files} downloads of {setting.size / 1e6:g} MB"
        self._view.say(f"{what}; a client gives up after {setting.timeout:g} s without a byte")
        self._before = subject.traffic()
        self._began = time.monotonic()
        self._chronicle = Chronicle(subject.orchestra, self._began)
        self._look()
        log = self._bed.folder / "downloads.log"
        started = start_downloads(
            subject.clients, subject.server_address, self._bed.files, setting.files, setting.timeout, log
        )
        with closing(started) as downloads:
            while not downloads.finished:
                self._take(list(downloads.read()), downloads)

    def _look(self) -> None:
        say_all(self._view, self._chronicle.look())
        self._result.events = self._chronicle.happened

    def _take(self, reports: list[Progress], downloads: Downloads) -> None:
        """One sample, of the latest report; if several came at once their longest pause counts."""
        result = self._result
        result.ended = [replace(end, time=end.time - self._began) for end in downloads.ended]
        if not reports:
            return
        progress = replace(reports[-1], pause=max(report.pause for report in reports))
        if result.killed_at is None and progress.bytes >= KILL_AT * result.setting.files * result.setting.size:
            self._kill()
        self._look()
        result.samples.append(self._sample(progress))
        self._view.update(_board(result, self._chronicle))

    def _kill(self) -> None:
        result = self._result
        result.killed = self._subject.name_of(VICTIM)
        result.killed_at = self._now()
        self._subject.fail(Failure.kill, VICTIM)
        self._view.say(f"{result.killed_at:6.2f} s  kill -9  {result.killed}")

    def _sample(self, progress: Progress) -> Sample:
        counts = zip(self._subject.traffic(), self._before, strict=True)
        return Sample(
            progress.time - self._began,
            progress.bytes,
            progress.running,
            progress.pause,
            self._now(),
            tuple(now - before for now, before in counts),
            *self._chronicle.operations(),
        )

    def _now(self) -> float:
        return time.monotonic() - self._began


def _board(result: Result, chronicle: Chronicle) -> Board:
    last, samples = result.samples[-1], result.samples
    goodput = growth(samples, lambda s: s.time, lambda s: s.bytes) * 8 / 1e6
    broken = len(result.ended) - result.completed
    figures = {
        "downloads": f"{last.running} running, {result.completed} complete, {broken} broken",
        "goodput": f"{goodput:.0f} Mbit/s",
        "longest time without a byte": f"{max(s.pause for s in samples) * 1e3:.0f} ms",
    }
    rates = {slot: f"{_packet_rate(samples, slot) / 1e3:.0f} k packets/s" for slot in range(len(last.packets))}
    done = last.bytes / (result.setting.files * result.setting.size)
    return Board(last.time, done, figures, chronicle.instances, rates)


def _packet_rate(samples: Sequence[Sample], slot: int) -> float:
    return growth(samples, lambda sample: sample.counted, lambda sample: sample.packets[slot])
