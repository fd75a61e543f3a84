"""Reading captures: classic pcap (microseconds and nanoseconds, both byte orders) and pcapng, Ethernet only.

Format: IETF drafts opsawg-pcap and opsawg-pcapng. Every length is checked before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from statelessnf.capture.captured import ETHERNET, MAX_CAPTURED, Captured, oversized, wrong_link
from statelessnf.capture.pcapng import SECTION_HEADER, pcapng_packets
from statelessnf.capture.stream import Stream


class _Kind(NamedTuple):
    order: str  # of struct
    nanoseconds: bool


MAGIC = {
    b"\xd4\xc3\xb2\xa1": _Kind("<", False),
    b"\xa1\xb2\xc3\xd4": _Kind(">", False),
    b"\x4d\x3c\xb2\xa1": _Kind("<", True),
    b"\xa1\xb2\x3c\x4d": _Kind(">", True),
}
FORMATS = "give a pcap or pcapng file, plain or compressed with zstd"


class CaptureReader:
    """Iterates over the packets of a capture file, once, in file order.

    `nanoseconds` says whether times may be finer than a microsecond (for pcapng: always taken as such).
    Raises CaptureError, from the constructor or from the iteration: unreadable, truncated, not a capture, or a link
    type other than Ethernet; the message names the offset.
    """

    def __init__(self, path: Path) -> None:
        self._stream = Stream(path)
        try:
            self.nanoseconds, self._packets = self._begin()
        except BaseException:
            self._stream.close()
            raise

    def _begin(self) -> tuple[bool, Iterator[Captured]]:
        stream = self._stream
        if not stream.have(4):
            raise stream.failed("the capture is empty" if not stream.buffer else "this is no capture", FORMATS)
        magic = stream.buffer[:4]
        if magic == SECTION_HEADER:
            return True, pcapng_packets(stream)
        if magic not in MAGIC:
            raise stream.failed(f"this is no capture (it begins with {magic.hex()})", FORMATS)
        return MAGIC[magic].nanoseconds, _pcap_packets(stream, MAGIC[magic])

    def __iter__(self) -> Iterator[Captured]:
        return self._packets

    def __enter__(self) -> CaptureReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @property
    def position(self) -> int:
        """Bytes of the file, as it stands on disk, read so far."""
        return self._stream.file_position


def _pcap_packets(stream: Stream, kind: _Kind) -> Iterator[Captured]:
    if not stream.have(24):
        raise stream.truncated()
    link: int = Struct(kind.order + "I").unpack_from(stream.buffer, 20)[0] & 0xFFFF  # above: length of the FCS
    if link != ETHERNET:
        raise wrong_link(stream, link)
    stream.at = 24
    return _pcap_records(stream, Struct(kind.order + "IIII"), 1 if kind.nanoseconds else 1000)


def _pcap_records(stream: Stream, header: Struct, unit: int) -> Iterator[Captured]:
    unpack, make = header.unpack_from, Captured
    while stream.have(16):
        buffer, at, size, captured = stream.buffer, stream.at, len(stream.buffer), 0
        while at + 16 <= size:  # the whole records in the buffer: most of them, so this loop is the fast one
            seconds, fraction, captured, _ = unpack(buffer, at)
            end = at + 16 + captured
            if end > size:
                break
            yield make(seconds * 1_000_000_000 + fraction * unit, buffer[at + 16 : end])
            at, captured = end, 0
        stream.at = at
        if captured > MAX_CAPTURED:
            raise oversized(stream, captured)
        if captured and not stream.have(16 + captured):
            raise stream.truncated()
    if stream.at != len(stream.buffer):
        raise stream.truncated()
