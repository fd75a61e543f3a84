"""Writing captures: classic pcap, little endian, Ethernet.

A file under the final name is always complete: packets go to a temporary file beside it, renamed on success and
removed on failure or interruption. A device or pipe (/dev/null) is written to directly.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from struct import Struct
from typing import BinaryIO

from statelessnf.capture.captured import ETHERNET, MAX_CAPTURED
from statelessnf.errors import CaptureError

MICROSECONDS, NANOSECONDS = 0xA1B2C3D4, 0xA1B23C4D
BUFFER = 1 << 20  # bytes
HEADER, RECORD = Struct("<IHHiIII"), Struct("<IIII")


class CaptureWriter:
    """A context manager; the file appears under `path` when the block ends without an exception.

    Raises CaptureError: the folder cannot be written, the disk is full, a time does not fit.
    """

    def __init__(self, path: Path, *, nanoseconds: bool = False) -> None:
        self.path = path
        self.packets = 0
        self._unit = 1 if nanoseconds else 1000
        self._direct = path.exists() and not path.is_file()
        self._temporary = path
        self._file = self._open()
        self._guarded(HEADER.pack(NANOSECONDS if nanoseconds else MICROSECONDS, 2, 4, 0, 0, MAX_CAPTURED, ETHERNET))

    def _open(self) -> BinaryIO:
        try:
            if self._direct:
                return self.path.open("wb", buffering=BUFFER)
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".partial", dir=self.path.parent)
            self._temporary = Path(name)
            os.fchmod(handle, 0o644)
            return os.fdopen(handle, "wb", buffering=BUFFER)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> CaptureError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        do = "free some space or write elsewhere" if full else "choose a folder that you may write to"
        return CaptureError(f"cannot write the capture: {error.strerror}", str(self.path), do)

    def _guarded(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, time: int, frame: bytes) -> None:
        """Appends one packet; `time` in nanoseconds since 1970."""
        seconds, rest = divmod(time, 1_000_000_000)
        if not 0 <= seconds < 1 << 32:
            what = f"packet {self.packets} has a time that pcap cannot hold"
            raise CaptureError(what, str(self.path), "shift the times of the input")
        self._guarded(RECORD.pack(seconds, rest // self._unit, len(frame), len(frame)) + frame)
        self.packets += 1

    def __enter__(self) -> CaptureWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._file.close()
            if kind is None and not self._direct:
                self._temporary.replace(self.path)
        except OSError as error:
            self._abandon()
            if kind is None:
                raise self._failed(error) from error
        else:
            if kind is not None:
                self._abandon()

    def _abandon(self) -> None:
        if not self._direct:
            self._temporary.unlink(missing_ok=True)
