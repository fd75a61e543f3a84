"""What this machine has: processors that we may use, memory, interfaces; those of named namespaces, too."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from statelessnf.namespaces import NAMES, Namespace
from statelessnf.orchestrator.drivers.driver import Capacity


def measured(*, limits_memory: bool) -> Capacity:
    """Now. `interfaces` of a namespace under /run/netns are NAMESPACE/NAME. Raises OSError."""
    cores = tuple(sorted(os.sched_getaffinity(0)))
    return Capacity(cores, _memory_mb(Path("/proc/meminfo").read_text()), (*_here(), *_elsewhere()), limits_memory)


def _memory_mb(text: str) -> int:
    total = next(line for line in text.splitlines() if line.startswith("MemTotal:"))
    return int(total.split()[1]) >> 10


def _here() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def _elsewhere() -> list[str]:
    names = sorted(entry.name for entry in NAMES.iterdir()) if NAMES.is_dir() and os.geteuid() == 0 else []
    found = []
    for name in names:
        with suppress(OSError), Namespace(name).entered():  # one that is just being made, or removed
            found += [f"{name}/{interface}" for interface in _here()]
    return found
