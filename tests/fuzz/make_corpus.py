#!/usr/bin/env python3
"""Writes the seed corpora of fuzz_packet and fuzz_rewrite (one frame a file, with right checksums, one for each branch
of the parser; fuzz_rewrite has a tuple and an MSS in front of it) and of fuzz_neighbours (one play a file: frames
heard, look-ups and pauses, as its head explains).

The files are named after what they hold and are kept in the repository; run this again after adding a frame here.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, IPOption_Router_Alert, UDPerror
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, GRE, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

CORPUS = Path(__file__).parent / "corpus"

ETHER = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
IPV4 = IP(src="10.0.0.1", dst="192.0.2.9")
IPV6 = IPv6(src="fd00::1", dst="2001:db8::9")
SYN_OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]
SACK = [("NOP", None), ("NOP", None), ("SAck", (16, 32, 64, 96))]


def tcp(flags: str, options: Sequence[tuple[str, object]] = ()) -> Packet:
    """A segment of one flow with the flags and options given."""
    return TCP(sport=40000, dport=443, seq=7, ack=8, flags=flags, options=list(options))


def udp(data: bytes = b"hello") -> Packet:
    """A datagram of one flow."""
    return UDP(sport=5000, dport=53) / Raw(data)


def quote(packet: Packet, size: int) -> Packet:
    """The first `size` bytes of a packet, as an ICMP error carries them."""
    return Raw(bytes(packet)[:size])


def frames() -> dict[str, Packet]:
    """Every seed by its file name."""
    to_inside = IP(src="192.0.2.1", dst="10.0.0.1")
    to_inside6 = IPv6(src="2001:db8::1", dst="fd00::1")
    chain = IPV6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting(segleft=0) / IPv6ExtHdrDestOpt()
    authentication = Raw(bytes([6, 4, 0, 0]) + bytes(20))
    return {
        "arp": ARP(psrc="10.0.0.1", pdst="10.0.0.2"),
        "ipv4_syn": IPV4 / tcp("S", SYN_OPTIONS),
        "ipv4_sack": IPV4 / tcp("A", SACK) / Raw(b"abc"),
        "ipv4_fin": IPV4 / tcp("FA"),
        "ipv4_reset": IPV4 / tcp("R"),
        "ipv4_udp": IPV4 / udp(),
        "ipv4_options": IP(src="10.0.0.1", dst="192.0.2.9", options=[IPOption_Router_Alert()]) / udp(),
        "ipv4_echo": IPV4 / ICMP(type=8, id=0xBEEF, seq=1) / Raw(b"ping"),
        "ipv4_unreachable": to_inside / ICMP(type=3, code=1) / IPerror(bytes(IPV4 / UDPerror(sport=5000, dport=53))),
        "ipv4_exceeded": to_inside / ICMP(type=11) / quote(IPV4 / tcp("A"), 28),
        "ipv4_error_echo": to_inside / ICMP(type=3, code=1) / quote(IPV4 / ICMP(type=8, id=5), 28),
        "ipv4_first": IP(src="10.0.0.1", dst="192.0.2.9", id=7, flags="MF", proto=17) / quote(udp(b"x" * 40), 16),
        "ipv4_later": IP(src="10.0.0.1", dst="192.0.2.9", id=7, frag=2, proto=17) / Raw(b"x" * 32),
        "ipv4_gre": IPV4 / GRE() / Raw(b"data"),
        "vlan_syn": Dot1Q(vlan=7) / IPV4 / tcp("S"),
        "qinq_udp6": Dot1AD(vlan=100) / Dot1Q(vlan=7) / IPV6 / udp(),
        "ipv6_syn": IPV6 / tcp("S", SYN_OPTIONS),
        "ipv6_udp": IPV6 / udp(),
        "ipv6_chain": chain / IPv6ExtHdrFragment(nh=51, id=9) / authentication / quote(IPV6 / tcp("A"), 60),
        "ipv6_first": IPV6 / IPv6ExtHdrFragment(nh=17, id=9, m=1) / quote(udp(b"x" * 40), 32),
        "ipv6_later": IPV6 / IPv6ExtHdrFragment(nh=17, id=9, offset=4) / Raw(b"x" * 16),
        "ipv6_echo": IPV6 / ICMPv6EchoRequest(id=0xBEEF, seq=1, data=b"ping"),
        "ipv6_solicitation": IPv6(src="fd00::1", dst="fd00::2", hlim=255) / ICMPv6ND_NS(tgt="fd00::2"),
        "ipv6_too_big": to_inside6 / ICMPv6PacketTooBig(mtu=1280) / quote(IPV6 / tcp("A") / Raw(b"z" * 99), 100),
    }


def rewriting(frame: bytes) -> bytes:
    """Input of fuzz_rewrite: 2001:db8::cb00:7105 port 1024 to 2001:db8::5 port 80, MSS 1221, and the frame."""
    prefix = 0x20010DB8 << 32
    return struct.pack("<QQQQHH", prefix, 0xCB007105, prefix, 5, 1024, 80) + struct.pack(">H", 1221) + frame


DEPLOYMENT, HOST = "02:53:4e:46:12:34", "02:00:00:00:00:07"
RESOLVE4, RESOLVE6, ASK, PAUSE, TAKE_BACK = range(3, 8)


def heard(packet: Packet) -> bytes:
    """A step of a play: the frame is heard outside, and its checksum is put right, however it was mutated."""
    frame = bytes(packet)
    return bytes((1, 0, len(frame))) + frame


def after(step: int, argument: int = 0) -> bytes:
    """A step without a frame: a look-up of the address that ends so, or a pause of so many tenths of a second."""
    return bytes((step, argument))


def plays() -> dict[str, bytes]:
    """Every seed of fuzz_neighbours by its file name."""
    own, own6, host, host6 = "192.0.2.20", "2001:db8::105", "192.0.2.7", "2001:db8::7"
    to_all, to_us = Ether(src=HOST, dst="ff:ff:ff:ff:ff:ff"), Ether(src=HOST, dst=DEPLOYMENT)
    question = to_all / ARP(hwsrc=HOST, psrc=host, pdst=own)
    reply = to_us / ARP(op=2, hwsrc=HOST, psrc=host, hwdst=DEPLOYMENT, pdst="192.0.2.16")
    moved = to_all / ARP(op=2, hwsrc="02:00:00:00:00:09", psrc=host, pdst=host)
    solicitation = Ether(src=HOST, dst="33:33:ff:00:01:05") / IPv6(src=host6, dst="ff02::1:ff00:105", hlim=255)
    question6 = solicitation / ICMPv6ND_NS(tgt=own6) / ICMPv6NDOptSrcLLAddr(lladdr=HOST)
    probe6 = Ether(src=HOST, dst="33:33:ff:00:01:05") / IPv6(src="::", dst="ff02::1:ff00:105", hlim=255)
    answer6 = to_us / IPv6(src=host6, dst="fe80::53:4eff:fe46:1234", hlim=255)
    reply6 = answer6 / ICMPv6ND_NA(tgt=host6, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=HOST)
    resolved = after(RESOLVE4, 7) + after(ASK) + heard(reply) + after(RESOLVE4, 7) + after(TAKE_BACK)
    stale = resolved + after(PAUSE, 255) * 2 + after(RESOLVE4, 7) + after(ASK) + after(PAUSE, 10) * 6
    return {
        "arp_question": heard(question),
        "arp_claim": heard(to_all / ARP(hwsrc=HOST, psrc=own, pdst=own)) * 2,
        "arp_tagged": heard(to_all / Dot1Q(vlan=7) / ARP(hwsrc=HOST, psrc="0.0.0.0", pdst=own)),
        "nd_question": heard(question6),
        "nd_cut_option": heard(solicitation / ICMPv6ND_NS(tgt=own6) / Raw(bytes((1, 1, 2, 0)))),
        "nd_probe": heard(probe6 / ICMPv6ND_NS(tgt=own6)),
        "resolved": resolved,
        "resolved6": after(RESOLVE6, 7) + after(ASK) * 2 + heard(reply6) + after(RESOLVE6, 7) + after(TAKE_BACK),
        "stale": stale,
        "moved": resolved + after(PAUSE, 20) + heard(moved) + after(ASK) + after(PAUSE, 10) + after(RESOLVE4, 7),
        "scan": b"".join(after(RESOLVE4, last) + after(RESOLVE6, last) for last in range(32, 64)) + after(ASK) * 9,
    }


def main() -> None:
    """Write one file for each frame and each play."""
    packets = {name: bytes(ETHER / packet) for name, packet in frames().items()}
    rewritten = {name: rewriting(frame) for name, frame in packets.items()}
    seeds = {"packet": packets, "rewrite": rewritten, "neighbours": plays()}
    for target, files in seeds.items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (CORPUS / target / name).write_bytes(content)


if __name__ == "__main__":
    main()
