"""Named network namespaces, and the processes in them.

A namespace is entered by one thread at a time for the length of a `with` block: sockets, netlink connections and
child processes made inside belong to it for good. Removing a namespace ends every process in it first.
"""

import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pyroute2 import netns

from statelessnf.errors import LabError

NAMES = Path("/run/netns")
Stream = int | IO[bytes]


@dataclass(frozen=True)
class Namespace:
    """One network namespace, by its name under /run/netns."""

    name: str

    @property
    def path(self) -> Path:
        """Where the namespace is mounted."""
        return NAMES / self.name

    def create(self) -> None:
        """Make the namespace, with loopback down and nothing else in it.

        Raises LabError where the kernel refuses.
        """
        try:
            netns.create(self.name)
        except OSError as error:
            raise LabError(f"cannot make a network namespace: {error.strerror}", self.name, "run it as root") from error

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Move the calling thread into the namespace for the length of the block."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            netns.setns(str(self.path), flags=0)
            try:
                yield
            finally:
                netns.setns(home)
        finally:
            os.close(home)

    def set_sysctl(self, key: str, value: int) -> None:
        """Set one of the namespace's kernel parameters, e.g. `net/ipv6/conf/all/disable_ipv6`."""
        with self.entered():
            Path("/proc/sys", key).write_text(f"{value}\n")

    def start(
        self,
        command: Sequence[str | Path],
        *,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = subprocess.DEVNULL,
        stderr: Stream = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process in the namespace, out of reach of the terminal's Ctrl-C: the lab ends it in its own order."""
        with self.entered():
            return subprocess.Popen(
                [str(word) for word in command],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                env=None if environment is None else {**os.environ, **environment},
            )

    def pids(self) -> list[int]:
        """Processes whose network namespace is this one."""
        with suppress(FileNotFoundError):
            own = self.path.stat()
            return [pid for pid in _all_pids() if _network_of(pid) == (own.st_dev, own.st_ino)]
        return []

    def remove(self) -> None:
        """End every process in the namespace, then remove it and the links in it. Nothing happens if it is gone."""
        while pids := self.pids():
            for pid in pids:
                _end_now(pid)
        with suppress(FileNotFoundError):
            netns.remove(self.name)


def namespaces_of(lab: str) -> list[Namespace]:
    """The existing namespaces of the lab of that name."""
    with suppress(FileNotFoundError):
        return [Namespace(entry.name) for entry in NAMES.iterdir() if entry.name.startswith(f"{lab}-")]
    return []


def stop(process: subprocess.Popen[bytes], patience: float = 5.0) -> None:
    """End a process: SIGTERM, and SIGKILL after `patience` seconds. Returns when it is gone and reaped."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _network_of(pid: int) -> tuple[int, int] | None:
    """Device and inode of the process's network namespace; None for one that has ended or is out of reach."""
    try:
        status = Path(f"/proc/{pid}/ns/net").stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _end_now(pid: int) -> None:
    """SIGKILL, and wait until the process has ended."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], 5.0)
        finally:
            os.close(descriptor)
