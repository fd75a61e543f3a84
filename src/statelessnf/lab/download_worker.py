"""The clients' side of the downloads: one process, many sockets, every checksum verified.

Runs as `python -m statelessnf.lab.download_worker` inside the clients' namespace. One JSON order comes in on standard
input (see `Order`), JSON lines go out on standard output: `{"progress": …}` every INTERVAL seconds and at the end,
`{"download": …}` when one ends. Times are the system's monotonic clock, which other processes share.
Standard library only: it shares two cores with everything that it measures.
"""

import errno
import hashlib
import json
import selectors
import socket
import sys
import time
from collections import deque
from typing import Any, TypedDict

INTERVAL = 0.1
LOW_WATER = 1 << 16
IMPATIENCE = 0.5  # seconds after which what is below the low-water mark is read, so that it cannot fill a window
BUFFER = 1 << 20


class FileOrder(TypedDict):
    """A file to download: path in the URL, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


class Order(TypedDict):
    """What to download: one download for each of `files`, `parallel` at a time; `timeout` in seconds without a byte."""

    address: str
    port: int
    parallel: int
    timeout: float
    files: list[FileOrder]


class Download:
    """One download. `outcome`: None while it runs, then `ok`, `reset`, `timeout`, `short`, `refused` or `checksum`."""

    def __init__(self, number: int, file: FileOrder, order: Order, now: float) -> None:
        self.number = number
        self.received = 0
        self.outcome: str | None = None
        self.last_byte = self.started = now
        self.socket = _open_socket(order)
        self.client_port: int = self.socket.getsockname()[1]
        self._file = file
        self._digest = hashlib.sha256()
        self._header: bytes | None = b""

    def send_request(self) -> None:
        """The connection is there, or has failed: ask for the file."""
        failure = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            self._fail(OSError(failure, ""))
            return
        self.socket.send(f"GET {self._file['path']} HTTP/1.0\r\n\r\n".encode())

    def take(self, buffer: memoryview, now: float) -> int:
        """Read what has come, at most a buffer full. Returns the number of body bytes."""
        try:
            size = self.socket.recv_into(buffer)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._fail(error)
            return 0
        if size == 0:
            self._end()
            return 0
        self.last_byte = now
        return self._body(buffer[:size])

    def _body(self, content: memoryview) -> int:
        if self._header is not None:
            head, blank_line, _ = (self._header + bytes(content)).partition(b"\r\n\r\n")
            if not blank_line:
                self._header = head
                return 0
            if not head.split(b"\r\n")[0].endswith(b"200 OK"):
                self.outcome = "refused"
            content = content[len(head) + len(blank_line) - len(self._header) :]
            self._header = None
        self._digest.update(content)
        self.received += len(content)
        return len(content)

    def _end(self) -> None:
        if self.received < self._file["size"]:
            self.outcome = "short"
        else:
            self.outcome = "ok" if self._digest.hexdigest() == self._file["sha256"] else "checksum"

    def _fail(self, error: OSError) -> None:
        self.outcome = {errno.ETIMEDOUT: "timeout", errno.ECONNREFUSED: "refused"}.get(error.errno or 0, "reset")


def _open_socket(order: Order) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, LOW_WATER)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(order["timeout"] * 1000))
    connection.connect_ex((order["address"], order["port"]))
    return connection


class Worker:
    """Carries out one order; `run` returns when the last download has ended."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._waiting = deque(enumerate(order["files"]))
        self._selector = selectors.EpollSelector()
        self._running: set[Download] = set()
        self._buffer = memoryview(bytearray(BUFFER))
        self._bytes = 0
        self._pause = 0.0
        self._last_read = time.monotonic()

    def run(self) -> None:
        """Download everything, and report on standard output."""
        next_report = time.monotonic()
        while self._waiting or self._running:
            self._fill(time.monotonic())
            for key, events in self._selector.select(max(0.0, next_report - time.monotonic())):
                self._serve(key.data, events)
            now = time.monotonic()
            if now >= next_report:
                self._end_silent(now)
                self._report(now)
                next_report = now + INTERVAL
        self._end_pause(time.monotonic())
        self._report(time.monotonic())

    def _report(self, now: float) -> None:
        """Totals, and the longest time without a byte to any client that ended since the last report."""
        _say(progress={"time": now, "bytes": self._bytes, "running": len(self._running), "pause": self._pause})
        self._pause = 0.0

    def _fill(self, now: float) -> None:
        while self._waiting and len(self._running) < self._order["parallel"]:
            number, file = self._waiting.popleft()
            download = Download(number, file, self._order, now)
            self._running.add(download)
            self._selector.register(download.socket, selectors.EVENT_WRITE, download)

    def _serve(self, download: Download, events: int) -> None:
        now = time.monotonic()
        if events & selectors.EVENT_WRITE:
            download.send_request()
            self._selector.modify(download.socket, selectors.EVENT_READ, download)
        else:
            self._take(download, now)
        if download.outcome is not None:
            self._close(download, now)

    def _take(self, download: Download, now: float) -> None:
        if size := download.take(self._buffer, now):
            self._bytes += size
            self._end_pause(now)

    def _end_pause(self, now: float) -> None:
        self._pause = max(self._pause, now - self._last_read)
        self._last_read = now

    def _end_silent(self, now: float) -> None:
        """End downloads without a byte for too long; what waits below the low-water mark is read first."""
        limit, quiet = now - self._order["timeout"], now - IMPATIENCE
        for download in [
            download for download in self._running if download.last_byte < quiet or download.last_byte < limit
        ]:
            self._take(download, now)
            if download.last_byte < limit and download.outcome is None:
                download.outcome = "timeout"
            if download.outcome is not None:
                self._close(download, now)

    def _close(self, download: Download, now: float) -> None:
        self._selector.unregister(download.socket)
        download.socket.close()
        self._running.remove(download)
        _say(
            download={
                "number": download.number,
                "outcome": download.outcome,
                "bytes": download.received,
                "seconds": now - download.started,
                "time": now,
                "client_port": download.client_port,
            }
        )


def _say(**message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    Worker(json.load(sys.stdin)).run()
