"""DPDK's environment, started by a thread of its own while Python imports the rest of the program.

It takes 0.2 s (it measures the clock for half of that, and loads every driver), of the half a second that an instance
has from its start to its first packet. The thread is no daemon: a process that gives up waits for it.
"""

from __future__ import annotations

import threading

from statelessnf import _engine

MEMORY_MB = 512  # address space for packet buffers; resident as far as it is used


class EngineStart:
    """One start of the environment, under way since this object was made."""

    def __init__(self) -> None:
        self._error: RuntimeError | None = None
        self._thread = threading.Thread(target=self._run, name="eal-start")
        self._thread.start()

    def _run(self) -> None:
        try:
            _engine.start_eal(MEMORY_MB)
        except RuntimeError as error:
            self._error = error

    def wait(self) -> None:
        """Until it is done. Raises RuntimeError with what failed and what to do."""
        self._thread.join()
        if self._error is not None:
            raise self._error
