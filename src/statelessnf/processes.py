"""Which process is which: a number is given to another one some day, a number with a start time is not."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot (proc(5), stat field 22).

    None if there is none, or only what is left of one until its parent asks for it (a zombie).
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = status.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def command_of(pid: int) -> list[str]:
    """The words of the process's command line; none if there is no such process, or it is a zombie."""
    try:
        content = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return content.decode(errors="replace").split("\0")[:-1]


def send(pidfd: int, number: signal.Signals) -> None:
    """A signal to the process; nothing happens if it has ended."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)


def reaped(pidfd: int) -> str:
    """How the process ended, in words. Empty: that is not known, as it is no child of ours, or it runs."""
    try:
        status = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return ""
    if status is None:
        return ""
    return ended_words(status.si_status if status.si_code == os.CLD_EXITED else 128 + status.si_status)


def ended_words(code: int) -> str:
    """An exit code as a shell counts it: 128 and the signal's number for who was killed."""
    names = {128 + number: number.name for number in signal.Signals}
    return f"killed by {names[code]}" if code in names else f"exit code {code}"
