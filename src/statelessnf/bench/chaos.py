"""`snf bench chaos`: random harm to instances, orchestrator, switch and a store's replica, under load, for minutes.

The load: downloads with checksums all along, TCP connections that live from start to end and exchange a message every
100 ms, and a UDP stream. After each harm the deployment has to settle, and the store has to have a record of each of
those connections. In the end each time in which packets of the stream were lost, or none came, is held against what was
done to the deployment and what its orchestrators say they did (explanations.py).

Packets of the stream may be lost from the kill of an instance, or its silence, until the traffic has been moved; and
while the switch has no rules, or is restarted: a switch in userspace forwards nothing meanwhile. TCP gets over it.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from random import Random
from threading import Event
from typing import Any

from statelessnf.bench import explanations
from statelessnf.bench.chaos_bed import ChaosBed, Harm, chaos_bed, offered
from statelessnf.bench.explanations import Happening
from statelessnf.bench.instruments.stream import Ends, Gap, Stream, StreamFigures
from statelessnf.bench.instruments.worker import Worker
from statelessnf.errors import LabError, SnfError
from statelessnf.lab.downloads import start_downloads
from statelessnf.lab.orchestra import SwitchKind
from statelessnf.lab.topology import CLIENT
from statelessnf.lab.web import make_files

RATE = 2000  # packets a second of the stream
TALKS, EVERY = 20, 0.1  # connections, and seconds between two messages
ECHO = 7007  # port of the server
SIZE, BATCH, TIMEOUT = 2_000_000, 20, 30.0  # bytes of a download, how many at a time, seconds without a byte
REST = (0.3, 1.5)  # seconds between two harms


@dataclass(frozen=True)
class Done:
    """One harm. Times in seconds since the start: when, and how long until all had settled (None: it did not)."""

    at: float
    harm: Harm
    what: str
    settled_s: float | None
    unrecorded: tuple[int, ...]  # ports of living connections of which the store had no record then
    problem: str = ""


@dataclass
class Story:
    """What happened in one run. Times in seconds since the start."""

    seed: int
    switch: SwitchKind
    seconds: float = 0.0
    done: list[Done] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    downloads: dict[str, int] = field(default_factory=dict)
    talks: dict[str, Any] = field(default_factory=dict)
    sent: int = 0
    lost: int = 0
    gaps: list[Gap] = field(default_factory=list)
    bins: list[tuple[float, int]] = field(default_factory=list)

    @property
    def broken(self) -> int:
        """Connections, downloads' or others, that did not do what they should."""
        return len(self.talks["broken"]) + sum(n for outcome, n in self.downloads.items() if outcome != "ok")

    @property
    def lossy_seconds(self) -> list[int]:
        """Those in which packets were lost."""
        seconds = {
            second for gap in self.gaps if gap.lost for second in range(int(gap.at), int(gap.at + gap.ms / 1000) + 1)
        }
        return sorted(seconds)

    @property
    def unexplained(self) -> list[int]:
        """Those in which packets were lost, or none came for long, though nothing says why."""
        whose = (Harm.kill, Harm.stop)
        done = [Happening(one.at, one.harm, one.what if one.harm in whose else "") for one in self.done]
        return explanations.unexplained(self.gaps, explanations.intervals(done, explanations.told(self.events)))

    def json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self) | {"lossy_seconds": self.lossy_seconds, "unexplained": self.unexplained}


class _Downloads:
    """Batches of downloads, one after the other, by a thread of its own, from start to `end`."""

    def __init__(self, bed: ChaosBed) -> None:
        self._bed, self._files = bed, make_files(bed.folder / "files", SIZE, BATCH)
        self._stop = Event()
        self._thread = ThreadPoolExecutor(1)
        self._outcomes = self._thread.submit(self._run)

    def _run(self) -> Counter[str]:
        outcomes: Counter[str] = Counter()
        topology, log = self._bed.topology, self._bed.folder / "downloads.log"
        while not self._stop.is_set():
            batch = start_downloads(topology.clients, topology.server_address, self._files, BATCH, TIMEOUT, log)
            with closing(batch):
                while not batch.finished:
                    deque(batch.read(), maxlen=0)
            outcomes.update(end.outcome for end in batch.ended)
        return outcomes

    def check(self) -> None:
        """Raises LabError if it has failed."""
        if self._outcomes.done():
            self._outcomes.result()

    def end(self) -> dict[str, int]:
        """How many ended how; the last batch is waited for."""
        self._stop.set()
        return dict(self._outcomes.result())

    def close(self) -> None:
        """Ends it, whatever becomes of it."""
        self._stop.set()
        self._thread.shutdown()


class _Load:
    """What clients do all along."""

    def __init__(self, stack: ExitStack, bed: ChaosBed) -> None:
        server, topology, folder = str(bed.topology.server_address), bed.topology, bed.folder
        ends = Ends(topology.clients, str(CLIENT.ip), topology.server, server)
        self.stream = Stream(stack, ends, folder, RATE)
        Worker(stack, topology.server, "talk_worker", folder, {"own": [server, ECHO]})
        order = {"peer": [server, ECHO], "connections": TALKS, "every": EVERY}
        self.talks = Worker(stack, topology.clients, "talk_worker", folder, order)
        self.stream.begin()
        self.downloads = stack.enter_context(closing(_Downloads(bed)))


def run(switch: SwitchKind, harms: Sequence[Harm], seconds: float, seed: int, progress: Callable[[str], None]) -> Story:
    """One run of so many seconds, each of `harms` (none: all that there are) in random order. Raises LabError.

    A harm of each kind comes before any kind comes again, if there is time. `progress` is told what is done.
    """
    there = offered(switch)
    if impossible := [harm for harm in harms if harm not in there]:
        raise LabError(f"there is no harm {impossible[0]} with {switch}", "snf bench chaos", "leave it out")
    story, random = Story(seed, switch), Random(seed)
    with chaos_bed(switch) as bed, ExitStack() as stack:
        load = _Load(stack, bed)
        began, clock = time.monotonic(), time.time() - time.monotonic()
        _play(bed, load, story, random, _order(harms or there, random), began, seconds, progress)
        story.downloads = load.downloads.end()
        story.talks = load.talks.ask({})
        figures = load.stream.end()
        story.seconds = time.monotonic() - began
        story.events = [event | {"at": event["time"] - clock - began} for event in bed.leader.events()]
    _keep(story, figures, began)
    return story


def _order(harms: Sequence[Harm], random: Random) -> Iterator[Harm]:
    while True:
        yield from random.sample(harms, len(harms))


def _play(
    bed: ChaosBed,
    load: _Load,
    story: Story,
    random: Random,
    order: Iterator[Harm],
    began: float,
    seconds: float,
    progress: Callable[[str], None],
) -> None:
    means = bed.harms()
    while (at := time.monotonic() - began) < seconds:
        harm = next(order)
        progress(f"{harm} after {at:.0f} s")
        what, settled, problem = "", None, ""
        try:
            what = means[harm](random)
            bed.converge()
            settled = time.monotonic() - began - at
        except SnfError as error:
            problem = error.line()
        story.done.append(Done(at, harm, what, settled, _unrecorded(bed, load), problem))
        load.downloads.check()
        time.sleep(random.uniform(*REST))


def _unrecorded(bed: ChaosBed, load: _Load) -> tuple[int, ...]:
    """Living connections without a record in the store."""
    ports = load.talks.ask({})["ports"]
    return tuple(sorted(set(ports) - bed.recorded_ports(ECHO)))


def _keep(story: Story, figures: StreamFigures, began: float) -> None:
    story.sent, story.lost = figures.sent, figures.lost
    story.gaps = [replace(gap, at=gap.at - began) for gap in figures.gaps]
    story.bins = [(when - began, count) for when, count in figures.bins]


def rows(stories: Sequence[Story]) -> list[dict[str, Any]]:
    """A row for each run."""
    return [_row(number, story) for number, story in enumerate(stories, 1)]


def _row(number: int, story: Story) -> dict[str, Any]:
    settled = [done.settled_s for done in story.done if done.settled_s is not None]
    unrecorded = sum(len(done.unrecorded) for done in story.done)
    whole = (
        not story.broken and not unrecorded and len(settled) == len(story.done) and len(story.talks["ports"]) == TALKS
    )
    return {
        "run": number,
        "seed": story.seed,
        "seconds": round(story.seconds, 1),
        "harms": len(story.done),
        "downloads": sum(story.downloads.values()),
        "messages": story.talks["answered"],
        "broken": story.broken,
        "unrecorded": unrecorded,
        "unsettled": len(story.done) - len(settled),
        "settled_s": round(max(settled, default=0.0), 2),
        "lost": story.lost,
        "of": story.sent,
        "lossy_s": len(story.lossy_seconds),
        "unexplained": len(story.unexplained),
        "met": whole and not story.unexplained,
    }
