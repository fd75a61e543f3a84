"""The engine's slow beginnings, in a thread, while Python imports and the store starts.

DPDK's environment takes 0.12 s (it measures the clock for most of that), the ports as much (their buffers, and two
sockets bound in the kernel), of the half a second that an instance has from its start to its first packet. The threads
are no daemons: a process that gives up waits for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from statelessnf import _engine

MEMORY_MB = 512  # address space for packet buffers; resident as far as it is used


class EngineStart:
    """One start of the environment, under way since this object was made, and then of an instance's ports."""

    def __init__(self) -> None:
        self._error: RuntimeError | MemoryError | None = None
        self._link: _engine.Link | None = None
        self._thread = self._begin(lambda: _engine.start_eal(MEMORY_MB))

    def open_ports(self, inside: str, outside: str, pipes: int) -> None:
        """Begins to open them; once. `link` says how that ended."""
        started = self._thread

        def open_link() -> None:
            started.join()
            if self._error is None:
                self._link = _engine.Link(inside, outside, pipes)

        self._thread = self._begin(open_link)

    def link(self) -> _engine.Link:
        """The ports, when they are open. Raises RuntimeError or MemoryError with what failed and what to do."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._link is not None  # open_ports came before
        return self._link

    def _begin(self, work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except (RuntimeError, MemoryError) as error:
                self._error = error

        thread = threading.Thread(target=run, name="engine-start")
        thread.start()
        return thread
