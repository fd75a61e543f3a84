"""An event loop with one deadline that can be put off without a turn of the loop.

Silence is looked for about a hundred times a second, and nearly always there is none. A timer of asyncio for each look
costs several times what the look itself does. So this loop asks a function within its wait, and waits on if that puts
the deadline off. It waits to the microsecond, too, where epoll_wait(2) rounds up to the next millisecond.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable
from math import inf
from selectors import EpollSelector, SelectorKey

PutOff = Callable[[float], float]  # from now to the next deadline; s (monotonic, the clock of event loops)


class PatientSelector(EpollSelector):
    """`put_off` is called once `due` is reached, never earlier; its result is the next one. It must not raise."""

    def __init__(self) -> None:
        super().__init__()
        self._mine = (self.fileno(),)  # readable as soon as anything is that was registered
        self.due = inf
        self.put_off: PutOff = lambda _now: inf

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """As the event loop wants it; also ends when `put_off` has not put off: it has something for the loop to do."""
        now = time.monotonic()
        end, waited = inf if timeout is None else now + timeout, False
        while not waited:
            until = min(end, self.due)
            readable = select.select(self._mine, (), (), None if until == inf else max(0.0, until - now))[0]
            now = time.monotonic()
            waited = bool(readable) or now >= end
            if now >= self.due:
                self.due = self.put_off(now)
                waited = waited or self.due == inf
        return super().select(0) if readable else []


class PatientLoop(asyncio.SelectorEventLoop):
    """For `asyncio.Runner(loop_factory=PatientLoop)`. `patient`: its deadline."""

    def __init__(self) -> None:
        self.patient = PatientSelector()
        super().__init__(self.patient)
