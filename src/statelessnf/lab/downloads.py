"""The downloads, seen from the lab: starts the worker in the clients' namespace and takes in what it reports."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from statelessnf.errors import LabError
from statelessnf.lab.web import PORT, WebFile
from statelessnf.namespaces import Namespace, stop

PARALLEL = 100


@dataclass(frozen=True)
class Progress:
    """State of all downloads at `time` (seconds, monotonic): body bytes so far, downloads running, and the longest time
    in seconds that passed without a byte to any client and ended since the last progress."""

    time: float
    bytes: int
    running: int
    pause: float


@dataclass(frozen=True)
class Ended:
    """How one download ended: `ok`, `reset`, `timeout`, `short`, `refused` or `checksum`; it took `seconds`.

    `time` is monotonic as the worker says it; in a `Result` it counts from the first request.
    """

    number: int
    outcome: str
    bytes: int
    seconds: float
    time: float
    client_port: int


@dataclass
class Downloads:
    """The running downloads, PARALLEL at a time; each counts as broken after its time-out without a byte."""

    process: subprocess.Popen[bytes]
    log: Path
    ended: list[Ended] = field(default_factory=list)
    finished: bool = False
    _tail: bytes = b""

    @property
    def output(self) -> int:
        """Descriptor that becomes readable when there is something to take in."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def read(self) -> Iterator[Progress]:
        """Take in one read's worth of lines: ends are kept, progress is returned. The worker's end is `finished`.

        Raises LabError when the worker failed.
        """
        content = os.read(self.output, 1 << 16)
        self.finished = not content
        if self.finished and self.process.wait() != 0:
            words = self.log.read_text(errors="replace").strip().splitlines()
            raise LabError(f"the download worker failed: {words[-1] if words else 'it says nothing'}")
        *lines, self._tail = (self._tail + content).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "download" in message:
                self.ended.append(Ended(**message["download"]))
            else:
                yield Progress(**message["progress"])

    def close(self) -> None:
        """End the worker, if it still runs."""
        stop(self.process)
        assert self.process.stdout is not None
        self.process.stdout.close()


def start_downloads(
    clients: Namespace, server: IPv4Address, files: list[WebFile], count: int, timeout: float, log: Path
) -> Downloads:
    """Start `count` downloads, of the files in turn, from the clients' namespace.

    One without a byte for `timeout` seconds counts as broken; the worker's own errors go to the file `log`.
    """
    chosen = [files[i % len(files)] for i in range(count)]
    order = {"address": str(server), "port": PORT, "parallel": PARALLEL, "timeout": timeout}
    command = [sys.executable, "-m", "statelessnf.lab.download_worker"]
    with log.open("wb") as errors:
        process = clients.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
    assert process.stdin is not None
    process.stdin.write(json.dumps({**order, "files": [asdict(file) for file in chosen]}).encode())
    process.stdin.close()
    return Downloads(process, log)
