"""What moves a hand-steered subject's traffic: threads that see instances end, and how much each is given."""

from __future__ import annotations

import math
import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

PERIOD = 0.1  # seconds over which a rate is taken
SLACK = 0.8  # one instance less only if the others would be given so much of their capacity


class _Thread:
    """A thread for the length of a block, which a descriptor wakes at its end."""

    def __init__(self, run: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=run, daemon=True)
        self.ending = os.eventfd(0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.eventfd_write(self.ending, 1)
        self._thread.join()
        os.close(self.ending)


class Watch(_Thread):
    """Calls `ended` with the index of each pidfd whose process has ended, within a ms of its end."""

    def __init__(self, pidfds: Sequence[int], ended: Callable[[int], None]) -> None:
        super().__init__(self._run)
        self._indexes, self._ended = {pidfd: index for index, pidfd in enumerate(pidfds)}, ended

    def _run(self) -> None:
        poll = select.poll()
        for descriptor in (self.ending, *self._indexes):
            poll.register(descriptor, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self.ending:
                    return
                poll.unregister(descriptor)
                self._ended(self._indexes[descriptor])


class RateWatch(_Thread):
    """Calls `resize` with another number of instances when the rate asks for it; begins at 1.

    `traffic`: packets given to each so far; `most`: instances that there are; `capacity`: packets a second of each.
    """

    def __init__(
        self, traffic: Callable[[], list[int]], most: int, capacity: float, resize: Callable[[int], None]
    ) -> None:
        super().__init__(self._run)
        self._traffic, self._most, self._capacity, self._resize = traffic, most, capacity, resize

    def _run(self) -> None:
        size, total, then = 1, sum(self._traffic()), time.monotonic()
        while not select.select([self.ending], [], [], PERIOD)[0]:
            now, count = time.monotonic(), sum(self._traffic())
            wanted = wanted_size((count - total) / (now - then), size, self._most, self._capacity)
            if wanted != size:
                self._resize(wanted)
            size, total, then = wanted, count, now


def wanted_size(rate: float, size: int, most: int, capacity: float) -> int:
    """How many instances `rate` packets a second ask for: as many as needed, and fewer than now only with SLACK."""
    needed = max(1, math.ceil(rate / capacity))
    if needed < size:
        needed = min(size, max(1, math.ceil(rate / (capacity * SLACK))))
    return min(needed, most)
