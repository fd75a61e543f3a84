"""The single runs of `snf bench failover`: downloads, or a stream alone, while something happens to an instance."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from statelessnf.bench.instruments.stream import Stream, StreamFigures
from statelessnf.bench.subjects.registry import Bed, bed, ends
from statelessnf.bench.subjects.subject import Failure, Subject
from statelessnf.errors import LabError
from statelessnf.lab.downloads import Downloads, Ended, start_downloads

INSTANCES = 2
FAIL_AT = 1 / 3  # of all bytes
LEAD_SECONDS = 0.3  # of the stream before anything happens: who carries it?
WINDOW = 2.0  # seconds after a failure in which a blackout is its own
TRIAL_SECONDS = 1.0  # of a stream alone after a failure


@dataclass(frozen=True)
class Downloaded:
    """One run of downloads. Times in seconds; `failed_at`: since the first request, None without a failure."""

    side: str
    seconds: float
    outcomes: dict[str, int]
    failed_at: float | None
    blackout_ms: float  # of the stream beside it; without a failure the longest gap of the whole run
    lost: int  # packets of the stream
    pause_ms: float  # the stream's precision

    @property
    def completed(self) -> int:
        """Downloads that arrived whole, checksum verified."""
        return self.outcomes.get("ok", 0)


@dataclass(frozen=True)
class Trial:
    """One failure under a stream alone."""

    side: str
    failure: Failure
    blackout_ms: float
    lost: int
    pause_ms: float  # the stream's precision


@dataclass(frozen=True)
class Plan:
    """How much: `downloads` files of `size` bytes, a client gives up after `timeout` s without a byte; `rate`: packets
    of the stream a second."""

    downloads: int
    size: int
    timeout: float
    rate: int


def run_downloads(side: str, plan: Plan, fails: bool) -> Downloaded:
    """All downloads once through a fresh subject, with SIGKILL to the instance that carries the stream, or without.

    Raises LabError.
    """
    with bed(side, INSTANCES, plan.size, plan.downloads) as made:
        stream, subject = _stream(made, plan.rate), made.subject
        victim = carrier(subject) if fails else None
        server, log = subject.server_address, made.folder / "downloads.log"
        with closing(
            start_downloads(subject.clients, server, made.files, plan.downloads, plan.timeout, log)
        ) as downloads:
            failed = _watch(downloads, subject, victim, plan)
        return _downloaded(side, downloads.ended, failed, stream.end())


def _downloaded(side: str, ended: Sequence[Ended], failed: float | None, figures: StreamFigures) -> Downloaded:
    began, last = min(end.time - end.seconds for end in ended), max(end.time for end in ended)
    since, until = (began, last) if failed is None else (failed, failed + WINDOW)
    return Downloaded(
        side=side,
        seconds=last - began,
        outcomes=dict(Counter(end.outcome for end in ended)),
        failed_at=None if failed is None else failed - began,
        blackout_ms=figures.blackout_ms(since, until),
        lost=figures.lost,
        pause_ms=figures.pause_ms,
    )


def run_trial(side: str, failure: Failure, rate: int) -> Trial:
    """A stream through a fresh subject, and the failure of the instance that carries it. Raises LabError."""
    with bed(side, INSTANCES, 1, 1) as made:
        stream = _stream(made, rate)
        victim = carrier(made.subject)
        when = time.monotonic()
        made.subject.fail(failure, victim)
        time.sleep(max(0.0, when + TRIAL_SECONDS - time.monotonic()))
        made.subject.check()
        return _trial(side, failure, when, stream.end())


def _trial(side: str, failure: Failure, when: float, figures: StreamFigures) -> Trial:
    return Trial(side, failure, figures.blackout_ms(when, when + TRIAL_SECONDS), figures.lost, figures.pause_ms)


def carrier(subject: Subject) -> int:
    """The instance that is given most of what is sent now. Raises LabError if none is given anything."""
    before = subject.traffic()
    time.sleep(LEAD_SECONDS)
    growth = [now - then for now, then in zip(subject.traffic(), before, strict=True)]
    if max(growth) <= 0:
        raise LabError(f"no instance of {subject.name} carries the stream")
    return growth.index(max(growth))


def _stream(made: Bed, rate: int) -> Stream:
    stream = Stream(made.stack, ends(made.subject), made.folder, rate)
    stream.begin()
    return stream


def _watch(downloads: Downloads, subject: Subject, victim: int | None, plan: Plan) -> float | None:
    """Until the last download has ended; when the victim was killed (s, monotonic). Raises LabError."""
    total, failed = plan.downloads * plan.size, None
    while not downloads.finished:
        for progress in downloads.read():
            if victim is not None and failed is None and FAIL_AT * total <= progress.bytes < total:
                failed = time.monotonic()
                subject.fail(Failure.kill, victim)
        subject.check()
    if victim is not None and failed is None:
        raise LabError(
            f"{subject.name}: the downloads were over before an instance could be killed in the middle",
            "snf bench failover",
            "make them more or larger",
        )
    return failed
