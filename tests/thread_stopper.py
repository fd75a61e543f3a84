"""Stops all threads of a process but its first one, as a loop that hangs would: the process lives, its pipes do not.

    python thread_stopper.py PID          prints a line when they stand; ends when the process has ended

A signal stops whole processes; only a tracer can stop single threads (ptrace(2), PTRACE_SEIZE). If this process is
killed, the threads run on.
"""

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

_SEIZE, _INTERRUPT = 0x4206, 0x4207  # sys/ptrace.h
_WALL = 0x40000000  # linux/wait.h: threads, too
_libc = ctypes.CDLL(None, use_errno=True)


def main(pid: int) -> None:
    """Until all of the threads are gone. Raises OSError: not permitted."""
    for thread in [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]:
        if thread != pid:
            _trace(_SEIZE, thread)
            _trace(_INTERRUPT, thread)
            os.waitpid(thread, _WALL)
    print("they stand", flush=True)
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, _WALL)


def _trace(request: int, thread: int) -> None:
    if _libc.ptrace(ctypes.c_long(request), ctypes.c_long(thread), None, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"thread {thread}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
