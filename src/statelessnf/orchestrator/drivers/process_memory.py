"""Memory limits for processes: a control group (version 2) for each instance, where there are any that we may write.

RLIMIT_AS would be wrong: DPDK reserves far more address space than it uses. Where the host has no such groups (version
1, or no root) nothing is limited, and the host's capacity says so.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
FOLDER = "statelessnf"


class MemoryGroups:
    """The groups of all instances, below `root`/statelessnf."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root, self._folder = root, root / FOLDER

    @property
    def available(self) -> bool:
        """Whether limits can be set here."""
        try:
            given = (self._root / "cgroup.subtree_control").read_text().split()
        except OSError:
            return False
        return "memory" in given and os.access(self._root, os.W_OK)

    def limit(self, name: str, pid: int, memory_mb: int) -> None:
        """The process, and all that it starts, gets no more than that; nothing happens where there are no groups.

        Raises OSError.
        """
        if not self.available:
            return
        group = self._folder / name
        group.mkdir(parents=True, exist_ok=True)
        (self._folder / "cgroup.subtree_control").write_text("+memory")
        (group / "memory.max").write_text(str(memory_mb << 20))
        (group / "cgroup.procs").write_text(str(pid))

    def forget(self, name: str) -> None:
        """After its process has ended."""
        with suppress(OSError):  # it never had one, or a process that it left behind (the store) is still in it
            (self._folder / name).rmdir()
