"""Captures: what is written is read again, whatever the format; what is damaged is refused with its offset."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statelessnf.capture import Captured, CaptureReader, CaptureWriter
from statelessnf.errors import CaptureError

pytestmark = pytest.mark.beside

DATA = Path(os.environ.get("SNF_DATA", Path(__file__).parents[2] / "shared" / "data"))
PACKETS = st.lists(st.builds(Captured, st.integers(0, 2**32 * 10**9 - 1), st.binary(max_size=200)), max_size=8)
FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


def read(path: Path) -> list[Captured]:
    with CaptureReader(path) as reader:
        return list(reader)


def pcap(packets: list[Captured], order: str = "<", nanoseconds: bool = True, link: int = 1) -> bytes:
    magic, unit = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for time, frame in packets:
        out += struct.pack(order + "IIII", time // 10**9, time % 10**9 // unit, len(frame), len(frame)) + frame
    return out


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def interface(order: str, resolution: int, link: int = 1) -> bytes:
    options = struct.pack(order + "HHB3xHH", 9, 1, resolution, 0, 0)
    return block(order, 1, struct.pack(order + "HHI", link, 0, 65535) + options)


def enhanced(order: str, number: int, ticks: int, frame: bytes) -> bytes:
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(order, 6, head + frame)


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def pcapng(packets: list[Captured], order: str = "<") -> bytes:
    """Two interfaces, nanoseconds and 2**-30 seconds... the second is used by no packet; a block of unknown kind."""
    out = section(order) + interface(order, 9) + interface(order, 0x80 | 30) + block(order, 0x0BAD, b"skip me")
    return out + b"".join(enhanced(order, 0, time, frame) for time, frame in packets)


@FOLDER
@given(packets=PACKETS, nanoseconds=st.booleans())
def test_written_is_read(tmp_path: Path, packets: list[Captured], nanoseconds: bool) -> None:
    with CaptureWriter(tmp_path / "out.pcap", nanoseconds=nanoseconds) as writer:
        for packet in packets:
            writer.write(*packet)
    unit = 1 if nanoseconds else 1000
    assert read(tmp_path / "out.pcap") == [Captured(time // unit * unit, frame) for time, frame in packets]


@FOLDER
@given(packets=PACKETS, order=st.sampled_from("<>"), make=st.sampled_from([pcap, pcapng]), packed=st.booleans())
def test_formats(tmp_path: Path, packets: list[Captured], order: str, make: object, packed: bool) -> None:
    assert callable(make)
    data = make(packets, order)
    (tmp_path / "in").write_bytes(zstandard.compress(data) if packed else data)
    assert read(tmp_path / "in") == packets


@pytest.mark.parametrize("order", "<>")
def test_microseconds(tmp_path: Path, order: str) -> None:
    (tmp_path / "in").write_bytes(pcap([Captured(1_000_002_000, b"x")], order, nanoseconds=False))
    with CaptureReader(tmp_path / "in") as reader:
        assert not reader.nanoseconds
        assert list(reader) == [Captured(1_000_002_000, b"x")]


def test_pcapng_resolutions_and_sections(tmp_path: Path) -> None:
    """Each interface has its own clock, each section its own byte order and numbering of interfaces."""
    obsolete = block("<", 2, struct.pack("<HHIIII", 0, 0, 0, 3_000_000, 1, 1) + b"o")
    simple = block("<", 3, struct.pack("<I", 1) + b"s")
    first = section("<") + interface("<", 6) + interface("<", 0x80 | 1)
    first += enhanced("<", 1, 3, b"half") + obsolete + simple
    second = section(">") + interface(">", 3) + enhanced(">", 0, 1500, b"milli")
    (tmp_path / "in").write_bytes(first + second)
    assert [(p.time, p.frame) for p in read(tmp_path / "in")] == [
        (1_500_000_000, b"half"), (3_000_000_000, b"o"), (3_000_000_000, b"s"), (1_500_000_000, b"milli"),
    ]  # fmt: skip


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_truncated_at_every_byte(tmp_path: Path, make: object) -> None:
    """A cut at a record's border is a shorter capture; anywhere else it is an error that names an offset."""
    assert callable(make)
    packets = [Captured(1, b"abcde"), Captured(2, b"fghij")]
    whole = make(packets)
    borders = {len(make(packets[:n])) for n in range(3)}
    if make is pcapng:
        borders |= {len(section("<")) + n * len(interface("<", 9)) for n in range(3)}
    for cut in range(len(whole)):
        (tmp_path / "in").write_bytes(whole[:cut])
        if cut in borders:
            read(tmp_path / "in")
            continue
        with pytest.raises(CaptureError, match=r"byte|empty|no capture"):
            read(tmp_path / "in")


def test_truncated_compressed(tmp_path: Path) -> None:
    data = zstandard.compress(pcap([Captured(n, os.urandom(100)) for n in range(50)]))
    for cut in range(4, len(data), 97):
        (tmp_path / "in").write_bytes(data[:cut])
        with pytest.raises(CaptureError, match="truncated"):
            read(tmp_path / "in")


def test_compressed_cut_between_packets(tmp_path: Path) -> None:
    """The packets end where one ends, but the compressed frame does not."""
    packer = zstandard.ZstdCompressor().compressobj()
    data = packer.compress(pcap([Captured(1, b"a")])) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    (tmp_path / "in").write_bytes(data)
    with pytest.raises(CaptureError, match="compressed capture is truncated"):
        read(tmp_path / "in")


def test_two_compressed_frames(tmp_path: Path) -> None:
    data = pcap([Captured(1, b"a"), Captured(2, b"b")])
    (tmp_path / "in").write_bytes(zstandard.compress(data[:30]) + zstandard.compress(data[30:]))
    assert len(read(tmp_path / "in")) == 2


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data(), make=st.sampled_from([pcap, pcapng]))
def test_damage_never_crashes(tmp_path: Path, data: st.DataObject, make: object) -> None:
    assert callable(make)
    whole = bytearray(make([Captured(1, b"abcdefgh"), Captured(2, b"x")]))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "in").write_bytes(bytes(whole))
    with contextlib.suppress(CaptureError):
        read(tmp_path / "in")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (pcap([], link=113), "link type 113"),
        (section("<") + interface("<", 6, link=276) + enhanced("<", 0, 0, b"x"), "link type 276"),
        (section("<") + enhanced("<", 0, 0, b"x"), "not described"),
        (pcap([]) + struct.pack("<IIII", 0, 0, 2**31, 2**31), "byte 24 claims 2147483648"),
        (section("<") + struct.pack("<II", 0x0BAD, 2**31) + bytes(8), "claims 2147483648"),
        (b"", "empty"),
        (b"GIF89a", "no capture"),
        (b"\x1f\x8b\x08\x00", "gunzip"),
    ],
)
def test_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "in").write_bytes(content)
    with pytest.raises(CaptureError, match=says) as caught:
        read(tmp_path / "in")
    assert str(tmp_path / "in") in str(caught.value)


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file"):
        CaptureReader(tmp_path / "absent")
    with pytest.raises(CaptureError, match="Is a directory"):
        CaptureReader(tmp_path)


def test_nothing_half_written(tmp_path: Path) -> None:
    """Interrupted: the old file stands, and no temporary one is left."""
    (tmp_path / "out.pcap").write_bytes(b"old")
    with contextlib.suppress(KeyboardInterrupt), CaptureWriter(tmp_path / "out.pcap") as writer:
        writer.write(0, b"x")
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["out.pcap"]
    assert (tmp_path / "out.pcap").read_bytes() == b"old"


def test_disk_full() -> None:
    with pytest.raises(CaptureError, match=r"No space left.*free some space"), CaptureWriter(Path("/dev/full")) as w:
        w.write(0, b"x")
    assert Path("/dev/full").is_char_device()


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot write"):
        CaptureWriter(tmp_path / "absent" / "out.pcap")


def test_enterprise_trace() -> None:
    path = DATA / "traces" / "enterprise.pcap.zst"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    packets = read(path)
    assert len(packets) == 179_154
    assert packets[0].time == 21_698_000
    assert len(packets[0].frame) == 66
