"""Replay of captures through functions that rewrite: whatever the split and the cache, the output is the baseline's.

The captures are what instances of a NAT see of hosts whose answers never come, and those of a load balancer of clients;
no two flows want one outer endpoint, so the first candidate is everybody's own. A choice by the flow's hash would have
a secret of each replay in it: the balancer goes by the source address.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from replayed import output
from statelessnf.capture import CaptureReader, CaptureWriter
from statelessnf.split import Split

pytestmark = pytest.mark.beside

NAT = """
name = "edge"
function = "nat"
inside = ["10.0.0.0/8"]
[nat]
pool = [{ addresses = "203.0.113.0/30" }]
outside_mtu = 1400
"""
BALANCER = """
name = "edge"
function = "load_balancer"
inside = ["10.0.0.0/8"]
[[load_balancer.services]]
name = "web"
address = "192.0.2.10"
ports = [80, 443]
affinity = "source"
servers = [{ address = "10.0.0.1" }, { address = "10.0.0.2", port = 8080 }, { address = "10.0.0.3" }]
[[load_balancer.services]]
name = "dns"
address = "192.0.2.53"
protocol = "udp"
ports = [53]
policy = "consistent_hash"
table_size = 1009
affinity = "source"
servers = [{ address = "10.0.0.4" }, { address = "10.0.0.5" }]
"""
FLOWS = 200
WAYS = list(itertools.product((1, 3), Split))


def segments(source: str, port: int, server: str) -> Iterator[Packet]:
    """One side of a connection."""
    ends = {"sport": port, "dport": 80}
    yield TCP(**ends, seq=100, flags="S", options=[("MSS", 1460)])
    for number, flags in enumerate(("A", "PA", "PA", "FA", "A")):
        data = b"d" * 50 * number if "P" in flags else b""
        yield TCP(**ends, seq=101 + number, ack=501, flags=flags) / Raw(data)


def outbound(number: int) -> list[Packet]:
    """What a host behind the NAT sends: a connection, datagrams, some in fragments, pings, what opens nothing."""
    source, port, server = f"10.0.{number % 7}.{number % 50 + 1}", 2000 + number, f"198.18.0.{number % 3 + 1}"
    over = IP(src=source, dst=server, id=number)
    match number % 5:
        case 0:
            return [over / UDP(sport=port, dport=53) / Raw(bytes([number % 256] * size)) for size in (10, 200, 30)]
        case 1:
            return [
                piece for _ in range(2) for piece in fragment(over / UDP(sport=port, dport=53) / Raw(b"f" * 2000), 800)
            ]
        case 2:
            return [over / ICMP(type=8, id=port, seq=seq) / Raw(b"p" * seq) for seq in range(4)]
        case 3 if number % 2:
            return [over / TCP(sport=port, dport=80, flags="A"), over / TCP(sport=port, dport=80, flags="R")]
    return [over / segment for segment in segments(source, port, server)]


def to_services(number: int) -> list[Packet]:
    """What a client sends to virtual addresses: connections, questions, what belongs to nobody."""
    source, port = f"198.51.{number % 7}.{number % 50 + 1}", 2000 + number
    if number % 4 == 0:
        return [IP(src=source, dst="192.0.2.53") / UDP(sport=port, dport=53) / Raw(b"q" * size) for size in (9, 30)]
    over = IP(src=source, dst="192.0.2.10")
    if number % 4 == 1 and number % 3:
        return [over / TCP(sport=port, dport=443, flags="A"), over / TCP(sport=port, dport=8443, flags="S")]
    return [over / segment for segment in segments(source, port, "192.0.2.10")]


def write(path: Path, flows: list[list[Packet]]) -> None:
    """The flows' packets, in turns, a few of them at the same time."""
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    rounds = itertools.zip_longest(*flows)
    frames = [bytes(ether / packet) for each in rounds for packet in each if packet is not None]
    with CaptureWriter(path, nanoseconds=True) as writer:
        for number, frame in enumerate(frames):
            writer.write((5000 + number) * 300_000, frame)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("deployment", "flow"), [(NAT, outbound), (BALANCER, to_services)], ids=["nat", "balancer"])
def test_same_output_as_the_baseline(deployment: str, flow: object, tmp_path: Path) -> None:
    assert callable(flow)
    (tmp_path / "edge.toml").write_text(deployment)
    write(tmp_path / "in.pcap", [flow(number) for number in range(FLOWS)])
    baseline = output(tmp_path, "memory", "tracked", 1, Split.flow)
    with CaptureReader(tmp_path / "out.pcap") as reader:
        left = [Ether(packet.frame)[IP] for packet in reader]
    outside = {packet.src for packet in left} if deployment == NAT else {packet.dst for packet in left}
    assert outside <= {f"203.0.113.{i}" for i in range(4)} | {f"10.0.0.{i}" for i in range(1, 6)}
    assert len(outside) > 3
    assert len(baseline[1]) > 24, "nothing was dropped: that shows less"
    for cache, (instances, split) in itertools.product(("off", "tracked"), WAYS):
        found = output(tmp_path, "embedded", cache, instances, split)
        assert found[0] == baseline[0], (cache, instances, split)
        assert found[1] == baseline[1], (cache, instances, split)
