"""`snf bench suspicion`: what false suspicion costs.

The same downloads, alternating, in peace and with every second heartbeat of each instance lost on its way (a rule in
the control network) while one instance after the other stands still for 20 ms. No download may break, nobody is to be
killed or replaced, and goodput stays.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Any

from statelessnf.bench.chaos_bed import PLACES, ChaosBed, chaos_bed, pause
from statelessnf.lab.control import address_of
from statelessnf.lab.downloads import start_downloads
from statelessnf.lab.web import WebFile, make_files
from statelessnf.orchestrator.steering.libnftables import Nftables

EVERY = (0.1, 0.4)  # seconds between two pauses
TIMEOUT = 20.0  # seconds without a byte
GOODPUT_BAR = 0.9
_TABLE = "ip lossy"


@dataclass(frozen=True)
class Slice:
    """One batch of downloads. `suspicions`: of live instances meanwhile; `lost`: instances that ended meanwhile."""

    seconds: float
    bytes: int
    outcomes: dict[str, int]
    suspicions: int
    lost: int

    @property
    def goodput(self) -> float:
        """Mbit/s."""
        return self.bytes * 8e-6 / self.seconds


@dataclass(frozen=True)
class Pair:
    """Without and with."""

    calm: Slice
    harassed: Slice


def measure(downloads: int, size: int, runs: int, seed: int, progress: Callable[[str], None]) -> list[Pair]:
    """`runs` pairs, in alternating order, through one deployment. Raises LabError."""
    pairs, random = [], Random(seed)
    with chaos_bed() as bed:
        files = make_files(bed.folder / "files", size, downloads)
        for turn in range(runs):
            slices = {}
            for harassed in (False, True) if turn % 2 == 0 else (True, False):
                progress("with losses and pauses" if harassed else "in peace")
                slices[harassed] = _slice(bed, files, downloads, random if harassed else None)
            pairs.append(Pair(slices[False], slices[True]))
    return pairs


def _slice(bed: ChaosBed, files: list[WebFile], count: int, random: Random | None) -> Slice:
    bed.converge()
    before, told = bed.leader.instances(), len(bed.leader.events())
    if random is None:
        seconds, ends = _download(bed, files, count)
    else:
        with _lossy(bed), _pauses(bed, random):
            seconds, ends = _download(bed, files, count)
    events = bed.leader.events()[told:]
    kept = {one["name"] for one in bed.leader.instances()}
    return Slice(
        seconds,
        count * files[0].size,
        dict(ends),
        sum(event["kind"] == "suspect" for event in events),
        sum(one["name"] not in kept for one in before),
    )


def _download(bed: ChaosBed, files: list[WebFile], count: int) -> tuple[float, Counter[str]]:
    topology, log = bed.topology, bed.folder / "downloads.log"
    with closing(start_downloads(topology.clients, topology.server_address, files, count, TIMEOUT, log)) as batch:
        while not batch.finished:
            deque(batch.read(), maxlen=0)
    began, last = min(end.time - end.seconds for end in batch.ended), max(end.time for end in batch.ended)
    return last - began, Counter(end.outcome for end in batch.ended)


@contextmanager
def _lossy(bed: ChaosBed) -> Iterator[None]:
    """Every second datagram of each instance to the orchestrator is lost."""
    rules = [f"ip saddr {address_of(n).ip} meta l4proto udp numgen inc mod 2 == 0 drop" for n in range(PLACES)]
    chain = "\n".join(["type filter hook input priority 0;", *rules])
    with closing(Nftables(bed.control.namespace)) as nftables:
        nftables.apply(f"table {_TABLE} {{\nchain input {{\n{chain}\n}}\n}}")
        try:
            yield
        finally:
            nftables.apply(f"delete table {_TABLE}")


@contextmanager
def _pauses(bed: ChaosBed, random: Random) -> Iterator[None]:
    """Now and then one of the instances stands still for a moment."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(random.uniform(*EVERY)):
            pause(bed.topology, random.randrange(PLACES))

    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(work)
        try:
            yield
        finally:
            over.set()
        working.result()


def rows(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """One row: goodput with against without, pair by pair."""
    ratios = [pair.harassed.goodput / pair.calm.goodput for pair in pairs]
    slices = [one for pair in pairs for one in (pair.calm, pair.harassed)]
    broken = sum(n for one in slices for outcome, n in one.outcomes.items() if outcome != "ok")
    lost = sum(pair.harassed.lost for pair in pairs)
    row = {
        "pairs": len(pairs),
        "calm_mbit_s": median(pair.calm.goodput for pair in pairs),
        "mbit_s": median(pair.harassed.goodput for pair in pairs),
        "ratio": median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "suspicions_per_s": sum(pair.harassed.suspicions for pair in pairs)
        / sum(pair.harassed.seconds for pair in pairs),
        "broken": broken,
        "replaced": lost,
        "bar": GOODPUT_BAR,
        "met": median(ratios) >= GOODPUT_BAR and not broken and not lost,
    }
    return [{key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}]
