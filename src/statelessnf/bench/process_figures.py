"""What one process takes, from /proc: resident memory by kind, CPU time, the process behind a Unix socket.

Linux only; needs the right to look at the process (root, or the same user).
"""

from __future__ import annotations

import re
import socket
import struct
import time
from pathlib import Path
from typing import NamedTuple

# DPDK keeps packet buffers, and its rings and rule tables beside them, in memory of its own: a memfd, or huge pages.
_BUFFERS = re.compile(r"/memfd:nohuge|/memfd:seg_|/anon_hugepage|/hugepages|rtemap_")
_KIB = 1024


class Resident(NamedTuple):
    """Resident bytes (Rss: pages shared with other processes, as libraries', count in full)."""

    buffers: int  # DPDK's own memory; huge pages are not in Rss and are added here
    rest: int


def resident(pid: int) -> Resident:
    """Of a process now. Raises OSError if it is gone."""
    buffers = rest = 0
    in_buffers = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("Rss", "Private_Hugetlb", "Shared_Hugetlb"):
            size = int(value.split()[0]) * _KIB
            buffers, rest = (buffers + size, rest) if in_buffers else (buffers, rest + size)
        elif "-" in name.partition(" ")[0]:  # the first line of a mapping
            in_buffers = _BUFFERS.search(line) is not None
    return Resident(buffers, rest)


def has_mapped(pid: int, name: str) -> bool:
    """Whether a file whose path contains `name` is mapped by the process. Raises OSError if it is gone."""
    return name in Path(f"/proc/{pid}/maps").read_text()


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process so far, user and system, to the nanosecond.

    /proc/PID/stat has the same in ticks of 10 ms. The clock's number: clock_getcpuclockid(3). Raises OSError.
    """
    return time.clock_gettime((~pid << 3) | 2)


def parent(pid: int) -> int:
    """Raises OSError if the process is gone."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def listener(path: Path) -> int:
    """The process that listens at a Unix socket (SO_PEERCRED, unix(7)). Raises OSError if there is none."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(path))
        credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    return pid
