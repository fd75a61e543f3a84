"""What happened, in order and numbered, for people: kept in memory at once, and in the store a moment later.

`tell` never waits and never fails. The last `MOST` are kept; whoever follows gets each one as it is told.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence

from statelessnf.orchestrator.face import EventDocument

MOST = 10_000


class Events:
    """The log of one orchestrator. `kept`: what its predecessors wrote down."""

    def __init__(self, kept: Iterable[EventDocument] = ()) -> None:
        self._events: deque[EventDocument] = deque(kept, maxlen=MOST)
        self._unwritten: deque[EventDocument] = deque(maxlen=MOST)
        self._number = self._events[-1].number if self._events else 0
        self._told = asyncio.Event()

    def tell(self, kind: str, text: str, instance: str = "") -> None:
        """Something happened just now."""
        self._number += 1
        event = EventDocument(number=self._number, time=time.time(), kind=kind, instance=instance, text=text)
        self._events.append(event)
        self._unwritten.append(event)
        self._told.set()
        self._told = asyncio.Event()

    def after(self, number: int, most: int = 1000) -> Sequence[EventDocument]:
        """At most `most` with numbers above `number`, oldest first."""
        found = [event for event in self._events if event.number > number]
        return found[:most]

    async def follow(self, number: int) -> AsyncIterator[EventDocument]:
        """Those with numbers above `number`, and then each as it is told; without end."""
        while True:
            told = self._told
            for event in self.after(number, MOST):
                number = event.number
                yield event
            if told is self._told:
                await told.wait()

    def take_unwritten(self) -> list[EventDocument]:
        """Those that are not in the store yet; now they are the caller's."""
        taken = list(self._unwritten)
        self._unwritten.clear()
        return taken

    def put_back(self, events: Sequence[EventDocument]) -> None:
        """They could not be written."""
        self._unwritten.extendleft(reversed(events))
