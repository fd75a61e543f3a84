"""pcapng blocks (IETF draft-ietf-opsawg-pcapng): sections, interfaces, and the three kinds of packet block.

Several interfaces with their own time resolution, several sections with their own byte order. Blocks of other kinds
are skipped. A simple packet block has no time: it gets that of the packet before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct

from statelessnf.capture.captured import ETHERNET, MAX_CAPTURED, Captured, oversized, wrong_link
from statelessnf.capture.stream import Stream
from statelessnf.errors import CaptureError

SECTION_HEADER = b"\x0a\x0d\x0d\x0a"  # the same in both byte orders
SECTION, INTERFACE, OBSOLETE, SIMPLE, ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
MAX_BLOCK = 16 << 20  # bytes
OPTION_END, IF_TSRESOL, IF_TSOFFSET = 0, 9, 14


@dataclass(frozen=True)
class _Interface:
    link: int
    snap_length: int  # bytes, 0: no limit
    ticks: int  # a second
    offset: int  # seconds


@dataclass
class _Section:
    order: str  # of struct
    interfaces: list[_Interface] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.word = Struct(self.order + "I")
        self.option = Struct(self.order + "HH")
        self.enhanced = Struct(self.order + "IIIII")
        self.obsolete = Struct(self.order + "HHIIII")


def pcapng_packets(stream: Stream) -> Iterator[Captured]:
    """The packets of all sections, in file order. `stream` stands at the first section header."""
    section, time = _Section("<"), 0
    while stream.have(1):
        if not stream.have(12):
            raise stream.truncated()
        if stream.buffer[stream.at : stream.at + 4] == SECTION_HEADER:
            section = _Section(_byte_order(stream))
        kind, body = _block(stream, section)
        if kind == INTERFACE:
            section.interfaces.append(_interface(stream, section, body))
        elif kind in (ENHANCED, SIMPLE, OBSOLETE):
            packet = _packet(stream, section, kind, body, time)
            time = packet.time
            yield packet
        stream.at += len(body) + 12


def _byte_order(stream: Stream) -> str:
    orders = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
    magic = stream.buffer[stream.at + 8 : stream.at + 12]
    if magic not in orders:
        raise stream.failed(f"the section at byte {stream.offset} has no valid byte order mark", "capture again")
    return orders[magic]


def _block(stream: Stream, section: _Section) -> tuple[int, bytes]:
    """Type and body of the block at `at`, which is not consumed."""
    kind: int = section.word.unpack_from(stream.buffer, stream.at)[0]
    size: int = section.word.unpack_from(stream.buffer, stream.at + 4)[0]
    if size < 12 or size % 4 or size > MAX_BLOCK:
        raise oversized(stream, size)
    if not stream.have(size):
        raise stream.truncated()
    if section.word.unpack_from(stream.buffer, stream.at + size - 4)[0] != size:
        raise _damaged(stream)
    return kind, stream.buffer[stream.at + 8 : stream.at + size - 4]


def _damaged(stream: Stream) -> CaptureError:
    what = f"the block at byte {stream.offset} contradicts itself: the capture is damaged"
    return stream.failed(what, "capture again")


def _interface(stream: Stream, section: _Section, body: bytes) -> _Interface:
    if len(body) < 8:
        raise _damaged(stream)
    link, _ = section.option.unpack_from(body, 0)
    options = dict(_options(section, body[8:]))
    resolution, offset = options.get(IF_TSRESOL, b"\x06"), options.get(IF_TSOFFSET, bytes(8))
    if len(resolution) != 1 or len(offset) != 8:
        raise _damaged(stream)
    power = resolution[0] & 0x7F
    ticks = 2**power if resolution[0] & 0x80 else 10**power
    seconds: int = Struct(section.order + "q").unpack(offset)[0]
    return _Interface(link, section.word.unpack_from(body, 4)[0], ticks, seconds)


def _options(section: _Section, data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        code, size = section.option.unpack_from(data, at)
        if code == OPTION_END:
            return
        yield code, data[at + 4 : at + 4 + size]
        at += 4 + size + -size % 4


def _packet(stream: Stream, section: _Section, kind: int, body: bytes, before: int) -> Captured:
    start = {ENHANCED: 20, OBSOLETE: 20, SIMPLE: 4}[kind]
    if len(body) < start:
        raise _damaged(stream)
    high = low = number = 0
    if kind == ENHANCED:
        number, high, low, captured, _ = section.enhanced.unpack_from(body)
    elif kind == OBSOLETE:
        number, _, high, low, captured, _ = section.obsolete.unpack_from(body)
    else:
        captured = section.word.unpack_from(body)[0]
    if number >= len(section.interfaces):
        what = f"the packet at byte {stream.offset} names an interface that is not described"
        raise stream.failed(what, "capture again")
    interface = section.interfaces[number]
    if interface.link != ETHERNET:
        raise wrong_link(stream, interface.link)
    if kind == SIMPLE:  # has the original length only
        captured = min(captured, interface.snap_length or captured)
    if captured > len(body) - start or captured > MAX_CAPTURED:
        raise oversized(stream, captured)
    time = before if kind == SIMPLE else _nanoseconds(interface, high << 32 | low)
    return Captured(time, body[start : start + captured])


def _nanoseconds(interface: _Interface, ticks: int) -> int:
    return interface.offset * 1_000_000_000 + ticks * 1_000_000_000 // interface.ticks
