"""Replay over real engines and a real store: the output is the baseline's, byte by byte, whatever the split and cache.

The generated trace holds TCP flows, UDP both ways, datagrams in fragments, refused flows that are answered, and ARP;
the enterprise trace is cut short, as the whole of it takes long on a busy machine.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from replayed import output
from statelessnf.capture import Captured, CaptureReader, CaptureWriter
from statelessnf.split import Split

pytestmark = pytest.mark.beside

DATA = Path(os.environ.get("SNF_DATA", Path(__file__).parents[2] / "shared" / "data"))
ENTERPRISE = DATA / "traces" / "enterprise.pcap.zst"
ENTERPRISE_PACKETS = 12_000
DEPLOYMENT = """
name = "edge"
function = "firewall"
inside = ["10.0.0.0/8"]
[firewall]
rules = [
  { action = "reject", direction = "outbound", protocol = "udp", destination_ports = 666 },
  { action = "reject", direction = "outbound", protocol = "tcp", destination_ports = 666 },
  { action = "allow", direction = "outbound" },
]
"""
WAYS = [(1, Split.flow), (3, Split.flow), (3, Split.packet), (3, Split.direction)]


def conversation(number: int) -> list[Packet]:
    """One client's packets, in the order of the wire."""
    client, server, port = f"10.0.{number // 250}.{number % 250 + 1}", "198.18.0.1", 1024 + number
    out, back = Ether() / IP(src=client, dst=server), Ether() / IP(src=server, dst=client)
    up, down = {"sport": port, "dport": 80}, {"sport": 80, "dport": port}
    if number % 5 == 0:  # refused, with an answer
        refused = {"sport": port, "dport": 666}
        return [out / UDP(**refused) / Raw(b"x"), out / TCP(**refused, seq=7, flags="S")]
    if number % 5 == 1:  # in fragments, and answered in fragments
        whole = [out / UDP(**up) / Raw(b"a" * 3000), back / UDP(**down) / Raw(b"b" * 3000)]
        whole[0][IP].id, whole[1][IP].id = number, number + 30_000
        return [piece for packet in whole for piece in fragment(packet, 1400)]
    if number % 5 == 2:  # nobody asked; then an error about something that went out
        asked = IP(src=client, dst=server) / UDP(**up) / Raw(b"x" * 8)
        return [back / UDP(**down), Ether() / asked, back / ICMP(type=3, code=3) / asked, Ether() / ARP(pdst=server)]
    return [
        out / TCP(**up, seq=100, flags="S"),
        back / TCP(**down, seq=500, ack=101, flags="SA"),
        out / TCP(**up, seq=101, ack=501, flags="A"),
        out / TCP(**up, seq=101, ack=501, flags="PA") / Raw(b"GET"),
        back / TCP(**down, seq=501, ack=104, flags="PA") / Raw(b"200"),
        out / TCP(**up, seq=104, ack=504, flags="FA"),
        back / TCP(**down, seq=504, ack=105, flags="FA"),
        out / TCP(**up, seq=105, ack=505, flags="A"),
    ]


def generated() -> list[Captured]:
    """300 conversations, interleaved."""
    rounds = itertools.zip_longest(*(conversation(number) for number in range(300)))
    frames = [bytes(packet) for each in rounds for packet in each if packet is not None]
    return [Captured((1000 + n) * 300_000, frame) for n, frame in enumerate(frames)]


def enterprise() -> list[Captured]:
    if not ENTERPRISE.exists():
        pytest.skip(f"{ENTERPRISE} is not here")
    with CaptureReader(ENTERPRISE) as reader:
        return list(itertools.islice(reader, ENTERPRISE_PACKETS))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("trace", [generated, enterprise])
def test_same_output_as_the_baseline(trace: object, tmp_path: Path) -> None:
    assert callable(trace)
    packets = trace()
    (tmp_path / "edge.toml").write_text(DEPLOYMENT)
    with CaptureWriter(tmp_path / "in.pcap", nanoseconds=True) as writer:
        for packet in packets:
            writer.write(*packet)
    baseline = output(tmp_path, "memory", "tracked", 1, Split.flow)
    assert len(baseline[0]) > 24
    assert len(baseline[1]) > 24 or trace is enterprise  # its beginning has nothing to drop
    for cache in ("off", "tracked"):
        for instances, split in WAYS:
            assert output(tmp_path, "embedded", cache, instances, split) == baseline, (cache, instances, split)


def test_answers_follow_their_cause(tmp_path: Path) -> None:
    """A refused packet's RST or ICMP error stands in its place, with its time."""
    (tmp_path / "edge.toml").write_text(DEPLOYMENT)
    frames = [bytes(packet) for number in (0, 3) for packet in conversation(number)]
    with CaptureWriter(tmp_path / "in.pcap", nanoseconds=True) as writer:
        for number, frame in enumerate(frames):
            writer.write(10**9 + number, frame)
    output(tmp_path, "memory", "tracked", 1, Split.flow)
    with CaptureReader(tmp_path / "out.pcap") as reader:
        packets = list(reader)
    assert [packet.time - 10**9 for packet in packets] == list(range(len(frames)))
    assert Ether(packets[0].frame)[ICMP].type == 3
    assert "R" in Ether(packets[1].frame)[TCP].flags
    assert [packet.frame for packet in packets[2:]] == frames[2:]
