"""Visits to a web server through a subject: how soon connections are there, and how many bytes come."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from statelessnf.bench.instruments.worker import Worker
from statelessnf.lab.web import PORT
from statelessnf.namespaces import Namespace


@dataclass(frozen=True)
class SliceFigures:
    """One slice of visits. Times in ms from the first SYN: until the connection was there, until the first byte.

    `unfinished`: how old in ms those were that were not at their end when the slice was.
    """

    seconds: float
    bytes: int
    visits: int
    failed: dict[str, int]
    connect_ms: list[float]
    answer_ms: list[float]
    unfinished: list[float]

    @property
    def visits_per_second(self) -> float:
        """Visits that ended as they should."""
        return self.visits / self.seconds

    @property
    def bytes_per_second(self) -> float:
        """Goodput, headers included."""
        return self.bytes / self.seconds


def quantile(values: list[float], share: float) -> float | None:
    """The value that `share` of all are at most; None of none."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)] if values else None


class Visits:
    """Visitors in the clients' namespace; their process is on `stack`. Raises LabError."""

    def __init__(self, stack: ExitStack, clients: Namespace, server: IPv4Address, folder: Path) -> None:
        self._worker = Worker(stack, clients, "visit_worker", folder, {"address": str(server), "port": PORT})

    def slice(self, path: str, seconds: float, parallel: int, timeout: float = 20.0) -> SliceFigures:
        """`parallel` visitors ask for `path` again and again; one that takes `timeout` seconds has failed."""
        order = {"seconds": seconds, "parallel": parallel, "path": path, "timeout": timeout}
        return SliceFigures(**self._worker.ask(order, seconds))
