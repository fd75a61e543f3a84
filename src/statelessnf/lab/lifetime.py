"""How long a lab lives: its name, its folder, and the end of everything that belongs to it.

A lab's name holds its owner's process id and start time, so two labs never collide and a lab whose owner was killed
can be told from a living one. Its namespaces bear the name, its files are in one folder; cleaning up is by that
name, not by a list kept on the way, so it also holds for what was half made when a signal came.
"""

import itertools
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from statelessnf.errors import LabError
from statelessnf.namespaces import NAMES, Namespace, namespaces_of
from statelessnf.processes import start_time

FOLDERS = Path("/run/snf-lab")
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_NAME = re.compile(r"snf-(?P<pid>\d+)-(?P<started>\d+)-\d+")
_numbers = itertools.count(1)
_Handler = Callable[[int, FrameType | None], Any] | int | None


class Lab:
    """One lab: `with Lab() as lab`, then `lab.namespace("clients")`.

    All of it is gone when the block ends, however it ends. SIGTERM and SIGHUP end the block as Ctrl-C does (by
    SystemExit); while cleaning up, signals wait.
    Raises LabError without root.
    """

    def __init__(self) -> None:
        check_root()
        pid = os.getpid()
        self.name = f"snf-{pid}-{start_time(pid)}-{next(_numbers)}"
        self.folder = FOLDERS / self.name
        self._handlers: dict[signal.Signals, _Handler] = {}

    def __enter__(self) -> Self:
        remove_leftovers()
        self.folder.mkdir(mode=0o755, parents=True)
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, _leave) for number in ENDING_SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _signals_wait():
            _remove(self.name)
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    def namespace(self, role: str, *, ipv6: bool = False) -> Namespace:
        """A new namespace of this lab.

        Without `ipv6` IPv4 only, so that nothing but what the lab sends is on its links.
        """
        namespace = Namespace(f"{self.name}-{role}")
        namespace.create()
        for where in ("all", "default"):
            namespace.set_sysctl(f"net/ipv6/conf/{where}/disable_ipv6", int(not ipv6))
        return namespace


def check_root() -> None:
    """Raises LabError without root."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces, which needs root", do="run it as root")


def remove_leftovers() -> None:
    """Remove what labs left whose owner has been killed. Labs of living owners are not touched."""
    entries = [entry for folder in (NAMES, FOLDERS) if folder.is_dir() for entry in folder.iterdir()]
    found = {match.group(): match for entry in entries if (match := _NAME.match(entry.name))}
    for name, match in found.items():
        if start_time(int(match["pid"])) != int(match["started"]):
            _remove(name)


def _remove(name: str) -> None:
    for namespace in namespaces_of(name):
        namespace.remove()
    shutil.rmtree(FOLDERS / name, ignore_errors=True)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _signals_wait() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *ENDING_SIGNALS})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
