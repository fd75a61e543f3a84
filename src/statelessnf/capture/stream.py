"""The bytes of a capture file, unpacked if they are compressed with zstd, as a buffer that grows on demand.

Memory stays bounded: compressed input is fed in pieces so small that even the densest one (RFC 8878: a block of
128 KiB in 4 bytes) unpacks to a few dozen megabytes. A compressed file that ends within a frame is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

import zstandard

from statelessnf.errors import CaptureError

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
GZIP_MAGIC = b"\x1f\x8b"
PLAIN_PIECE = 1 << 20  # bytes
COMPRESSED_PIECE = 1 << 10  # bytes


class Stream:
    """`buffer[at:]` is what was read and not yet consumed; `grow` appends to it.

    Raises CaptureError: the file cannot be opened, read or unpacked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.buffer = b""
        self.at = 0
        self.file_position = 0  # bytes taken from the file, as it stands on disk
        self._passed = 0
        self._file = self._open()
        self._pieces = self._choose()

    def _open(self) -> BufferedReader:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise self.failed(f"cannot read the capture: {error.strerror}", "check path and permissions") from error

    def _choose(self) -> Iterator[bytes]:
        try:
            start = self._file.read(4)
        except OSError as error:
            self._file.close()
            raise self.failed(f"cannot read the capture: {error.strerror}", "give a capture file") from error
        if start.startswith(GZIP_MAGIC):
            self._file.close()
            raise self.failed("the capture is compressed with gzip", "unpack it first (gunzip), or use zstd")
        return self._unpacked(start) if start == ZSTD_MAGIC else self._plain(start)

    def failed(self, what: str, do: str = "") -> CaptureError:
        """A CaptureError that names this file."""
        return CaptureError(what, str(self.path), do)

    def truncated(self) -> CaptureError:
        """For an end of file in the middle of what begins at `at`."""
        what = f"the capture is truncated: it ends within the record at byte {self.offset}"
        return self.failed(what, "capture again, or cut it there, for instance with editcap")

    @property
    def offset(self) -> int:
        """Offset of `buffer[at]` in the unpacked file."""
        return self._passed + self.at

    def grow(self) -> bool:
        """Drops what was consumed and appends the next piece; False at the end of the file."""
        piece = next(self._pieces, b"")
        self._passed += self.at
        self.buffer = self.buffer[self.at :] + piece
        self.at = 0
        return bool(piece)

    def have(self, size: int) -> bool:
        """True once `size` bytes stand at `at`; False if the file ends before."""
        while len(self.buffer) - self.at < size:
            if not self.grow():
                return False
        return True

    def close(self) -> None:
        self._file.close()

    def _read(self, size: int) -> bytes:
        try:
            piece = self._file.read1(size)
        except OSError as error:
            raise self.failed(f"cannot read the capture: {error.strerror}", "check the disk") from error
        self.file_position += len(piece)
        return piece

    def _plain(self, start: bytes) -> Iterator[bytes]:
        self.file_position = len(start)
        piece = start
        while piece:
            yield piece
            piece = self._read(PLAIN_PIECE)

    def _unpacked(self, start: bytes) -> Iterator[bytes]:
        self.file_position = len(start)
        unpacker = zstandard.ZstdDecompressor().decompressobj()
        piece = start
        while piece:
            try:
                fresh = unpacker.decompress(piece)
            except zstandard.ZstdError as error:
                raise self.failed(f"cannot unpack the capture: {error}", "compress it again with zstd") from error
            if fresh:
                yield fresh
            piece = unpacker.unused_data or self._read(COMPRESSED_PIECE)
            if unpacker.eof and piece:  # another frame follows
                unpacker = zstandard.ZstdDecompressor().decompressobj()
        if not unpacker.eof:
            raise self.failed("the compressed capture is truncated", "copy or compress it again")
