"""What this kernel has: tests of what it lacks skip."""

from __future__ import annotations

import os


def _threads_have_descriptors() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid(), os.O_EXCL))
    except OSError:
        return False
    return True


THREADS_ARE_WATCHED = _threads_have_descriptors()  # PIDFD_THREAD: Linux 6.9 or later
