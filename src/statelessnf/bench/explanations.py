"""What explains packets lost in `snf bench chaos`, and interruptions: intervals that a fault opens, its remedy closes.

| opened by | closed by |
|---|---|
| a `kill` or `stop` that was done to an instance | `steer` without that instance |
| `suspect`, `end` of an instance | `steer` without it; after `suspect` also its `live` |
| the rules taken away, the switch restarted | `switch` |
| `switch-away` | `switch` |

Nothing else explains: a pause, beats that are cut off, a new leader and the end of a store's replica are to lose
nothing, unless they cost an instance its traffic, and then the orchestrator has told that. An interval that is not
closed within the time that its kind may take explains nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from statelessnf.bench.instruments.stream import Gap

BEFORE = 0.3  # seconds from a fault to the event that tells of it, at most
WAITED = 0.1  # seconds that the last packet to be lost may have waited in the thing that was harmed
AFTER = 0.2  # seconds from the remedy until packets come again, at most
LONGEST = {"kill": 3.0, "stop": 3.0, "suspect": 2.0, "end": 2.0, "switch": 20.0, "restart": 20.0, "switch-away": 20.0}
DONE = frozenset({"kill", "stop", "switch", "restart"})  # by the benchmark: known to the moment
INTERRUPTED_MS = 250.0  # a time without a packet that has to be explained though none was lost in it


@dataclass(frozen=True)
class Happening:
    """A fault or an event, `at` seconds since the start. `instance`: whose, "" where it is nobody's."""

    at: float
    kind: str
    instance: str = ""
    text: str = ""


def told(events: Iterable[Mapping[str, Any]]) -> list[Happening]:
    """The orchestrators' events."""
    return [Happening(e["at"], e["kind"], e.get("instance", ""), e.get("text", "")) for e in events]


def intervals(done: Iterable[Happening], events: Sequence[Happening]) -> list[tuple[float, float]]:
    """From when until when losses are explained. `done`: by the benchmark."""
    ordered = sorted(events, key=lambda event: event.at)
    openers = [fault for fault in done if fault.kind in DONE]
    openers += [event for event in ordered if event.kind in LONGEST.keys() - DONE]
    return [
        (opener.at - (WAITED if opener.kind in DONE else BEFORE), closed + AFTER)
        for opener in openers
        if (closed := _closed(opener, ordered)) is not None
    ]


def _closed(opener: Happening, events: Sequence[Happening]) -> float | None:
    """When its remedy was told; None: not in time."""
    until = opener.at + LONGEST[opener.kind]
    return next((one.at for one in events if opener.at <= one.at <= until and _closes(one, opener)), None)


def _closes(event: Happening, opener: Happening) -> bool:
    if opener.instance:
        back = opener.kind == "suspect" and event.kind == "live" and event.instance == opener.instance
        return back or (event.kind == "steer" and opener.instance not in event.text)
    return event.kind == "switch"


def unexplained(gaps: Iterable[Gap], explained: Sequence[tuple[float, float]]) -> list[int]:
    """The seconds since the start in which packets were lost, or the stream was interrupted, outside all intervals."""
    found: set[int] = set()
    for gap in gaps:
        if gap.lost or gap.outage_ms > INTERRUPTED_MS:
            for since, until in _rest(gap.at, gap.at + gap.ms / 1000, explained):
                found.update(range(floor(since), ceil(until)))
    return sorted(found)


def _rest(since: float, until: float, explained: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """What of that time is in no interval."""
    for start, end in sorted(explained):
        if start > until:
            break
        if start > since:
            yield since, start
        since = max(since, end)
        if since >= until:
            return
    yield since, until
