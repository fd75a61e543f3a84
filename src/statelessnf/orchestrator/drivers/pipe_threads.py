"""Notices the death of an instance by its pipes' threads, long before the process itself is gone.

A process that is killed gives back its memory and its sockets first, which takes tens of milliseconds, and only then
its pidfd says that it has ended; its threads stop at once. A thread of a pipe never ends before its instance does, so
the first that is gone says that nobody takes packets any more. Needs Linux 6.9 or later (PIDFD_THREAD, pidfd_open(2)).
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

THREAD_NAME = "snf-pipe"  # the engine calls them so (worker.hpp)
_PIDFD_THREAD = os.O_EXCL


class PipeThreads:
    """Of one process. `gone` is called at most once, within the event loop. On an older kernel nothing ever happens."""

    def __init__(self, pid: int, gone: Callable[[], None]) -> None:
        """Begins to watch those that are there now."""
        self._loop, self._gone = asyncio.get_running_loop(), gone
        self._descriptors = [descriptor for thread in _threads(pid) if (descriptor := _opened(thread)) is not None]
        for descriptor in self._descriptors:
            self._loop.add_reader(descriptor, self._notice)

    def __len__(self) -> int:
        """How many are watched."""
        return len(self._descriptors)

    def close(self) -> None:
        """Watches no more."""
        for descriptor in self._descriptors:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        self._descriptors = []

    def _notice(self) -> None:
        self.close()
        self._gone()


def _threads(pid: int) -> list[int]:
    """Numbers of the process's threads that belong to pipes; none if it has ended."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                if (task / "comm").read_text().strip() == THREAD_NAME:
                    found.append(int(task.name))
    return found


def _opened(thread: int) -> int | None:
    """None: it has ended, and the process's own descriptor tells; or the kernel knows no such descriptors."""
    try:
        return os.pidfd_open(thread, _PIDFD_THREAD)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EINVAL):
            return None
        raise
