"""Starts a process in a network namespace and on some processors, detached from whoever starts it.

It is a session of its own with nothing open but its log, so it outlives us and hears no Ctrl-C. Thread and child are
one as to namespace and processors, so the calling thread goes there, and comes back.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from statelessnf.namespaces import Namespace


def spawn(command: list[str], log: Path, namespace: str | None, cores: Sequence[int]) -> int:
    """The process's number. Standard error is appended to `log`; `cores`: none are any. Raises OSError."""
    null = os.devnull
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, null, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, null, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_APPEND, 0),
    ]
    with ExitStack() as stack:
        if cores:
            stack.enter_context(_on_cores(cores))
        if namespace is not None:
            stack.enter_context(Namespace(namespace).entered())
        defaults = (signal.SIGPIPE, signal.SIGINT)
        return os.posix_spawn(
            command[0], command, os.environ, file_actions=actions, setsid=True, setsigmask=(), setsigdef=defaults
        )


@contextmanager
def _on_cores(cores: Sequence[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
