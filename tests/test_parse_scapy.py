"""The engine's parser against Scapy's, which others wrote: the same fields of the same packets, tags and options."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from statelessnf import _engine
from statelessnf.packet import NO_WINDOW_SCALE, PACKET

pytestmark = pytest.mark.beside

ports = st.integers(0, 65535)
words = st.integers(0, 2**32 - 1)
v4 = st.integers(0x01000000, 0xDFFFFFFF).map(lambda value: str(ip_address(value)))
v6 = st.integers(0x2000 << 112, (0x4000 << 112) - 1).map(lambda value: str(ip_address(value)))
# Combinations of flags that a TCP may send (nf_conntrack_proto_tcp.c, tcp_valid_flags).
flags = st.sampled_from(["S", "SA", "R", "RA", "FA", "A", "PA", "FPA", "AU"])
options = st.lists(
    st.one_of(
        st.tuples(st.just("MSS"), st.integers(1, 65535)),
        st.tuples(st.just("WScale"), st.integers(0, 14)),
        st.just(("NOP", None)),
        st.tuples(st.just("Timestamp"), st.tuples(words, words)),
    ),
    max_size=4,
    unique_by=lambda option: option[0],
)
payloads = st.binary(max_size=100)


@st.composite
def tcp_segments(draw: st.DrawFn) -> Packet:
    return TCP(
        sport=draw(ports), dport=draw(ports), seq=draw(words), ack=draw(words), window=draw(ports), flags=draw(flags),
        options=draw(options),
    ) / Raw(draw(payloads))  # fmt: skip


@st.composite
def datagrams(draw: st.DrawFn) -> Packet:
    return UDP(sport=draw(ports), dport=draw(ports)) / Raw(draw(payloads))


@st.composite
def frames(draw: st.DrawFn) -> Packet:
    tags: list[Packet] = draw(st.sampled_from([[], [Dot1Q(vlan=7)], [Dot1AD(vlan=9), Dot1Q(vlan=7)]]))
    if draw(st.booleans()):
        network = IP(src=draw(v4), dst=draw(v4), ttl=draw(st.integers(1, 255)))
        inner = draw(st.one_of(tcp_segments(), datagrams(), ports.map(lambda number: ICMP(type=8, id=number))))
    else:
        network = IPv6(src=draw(v6), dst=draw(v6), hlim=draw(st.integers(1, 255)))
        extension = draw(st.sampled_from([None, IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt()]))
        network = network if extension is None else network / extension
        inner = draw(st.one_of(tcp_segments(), datagrams(), ports.map(lambda number: ICMPv6EchoRequest(id=number))))
    frame: Packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    for part in (*tags, network, inner):
        frame /= part
    return Ether(bytes(frame))  # with lengths and checksums


def address(record: Any, side: str) -> str:
    value = int(record[f"{side}_high"]) << 64 | int(record[f"{side}_low"])
    found = ip_address(value.to_bytes(16, "big"))
    return str(getattr(found, "ipv4_mapped", None) or found)


def seen_by_engine(frame: bytes) -> dict[str, Any]:
    what, _, header = _engine.describe(frame, 1, 2)
    assert what == "flow", what
    record = np.frombuffer(header, PACKET)[0]
    names = ("version", "protocol", "source_port", "destination_port", "payload_length", "ttl", "vlan")
    seen: dict[str, Any] = {name: int(record[name]) for name in names}
    seen |= {"source": address(record, "source"), "destination": address(record, "destination")}
    if seen["protocol"] == 6:
        tcp = ("sequence", "acknowledgement", "window", "tcp_flags", "mss", "window_scale")
        seen |= {name: int(record[name]) for name in tcp}
    return seen


def seen_by_scapy(frame: Packet) -> dict[str, Any]:
    network = frame.getlayer(IP) or frame.getlayer(IPv6)
    tag = frame.getlayer(Dot1AD) or frame.getlayer(Dot1Q)
    seen = {
        "version": network.version,
        "source": network.src,
        "destination": network.dst,
        "ttl": network.ttl if network.version == 4 else network.hlim,
        "vlan": tag.vlan if tag else 0,
    }
    if (tcp := frame.getlayer(TCP)) is not None:
        opening = tcp.options if "S" in tcp.flags else []  # RFC 9293 §3.7.1, RFC 7323 §2.2
        chosen = dict(option for option in opening if option[0] in ("MSS", "WScale"))
        return seen | {
            "protocol": 6, "source_port": tcp.sport, "destination_port": tcp.dport, "sequence": tcp.seq,
            "acknowledgement": tcp.ack, "window": tcp.window, "tcp_flags": int(tcp.flags), "mss": chosen.get("MSS", 0),
            "window_scale": chosen.get("WScale", NO_WINDOW_SCALE), "payload_length": len(tcp.payload),
        }  # fmt: skip
    if (udp := frame.getlayer(UDP)) is not None:
        part = {"protocol": 17, "source_port": udp.sport, "destination_port": udp.dport}
        return seen | part | {"payload_length": len(udp.payload)}
    query = frame.getlayer(ICMP) or frame.getlayer(ICMPv6EchoRequest)
    protocol = 1 if network.version == 4 else 58
    return seen | {"protocol": protocol, "source_port": query.id, "destination_port": query.id}


@settings(max_examples=400, derandomize=True, deadline=None)
@given(frames())
def test_the_parser_sees_what_scapy_sees(frame: Packet) -> None:
    mine, theirs = seen_by_engine(bytes(frame)), seen_by_scapy(frame)
    assert {name: mine[name] for name in theirs} == theirs
