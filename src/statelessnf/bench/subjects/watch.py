"""What moves a hand-steered subject's traffic: threads that see instances end, and how much each is given."""

from __future__ import annotations

import math
import os
import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from types import TracebackType
from typing import Self

from statelessnf.errors import LabError
from statelessnf.lab.links import Meter, Traffic

Counts = Mapping[str, Traffic]
PERIOD = 0.1  # seconds over which a rate is taken
SLACK = 0.9  # one instance less only if the others would be given so much of their capacity


class _Thread:
    """A thread for the length of a block, which a descriptor wakes at its end."""

    def __init__(self, run: Callable[[], None]) -> None:
        self._run_it, self._failure = run, ""
        self._thread = threading.Thread(target=self._begin, daemon=True)
        self.ending = os.eventfd(0)

    def check(self) -> None:
        """Raises LabError if the thread has failed."""
        if self._failure:
            raise LabError(f"the watcher failed: {self._failure}")

    def join(self) -> None:
        """Until the thread has ended by itself."""
        self._thread.join()

    def _begin(self) -> None:
        try:
            self._run_it()
        except Exception as error:  # whoever is measured by it has to know, whatever it was
            self._failure = f"{type(error).__name__}: {error}"

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

    `open_meter` counts at the switch (called in the thread that reads it), `packets` adds up what instances are given;
    `most`: instances that there are; `capacity`: packets a second of each.
    """

    def __init__(
        self,
        open_meter: Callable[[], Meter],
        packets: Callable[[Counts], int],
        most: int,
        capacity: float,
        resize: Callable[[int], None],
    ) -> None:
        super().__init__(self._run)
        self._open_meter, self._packets = open_meter, packets
        self._most, self._capacity, self._resize = most, capacity, resize

    def _run(self) -> None:
        with closing(self._open_meter()) as meter:
            size, total, then = 1, self._packets(meter.read()), time.monotonic()
            while not select.select([self.ending], [], [], PERIOD)[0]:
                now, count = time.monotonic(), self._packets(meter.read())
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
