"""Frames for tests of switches, and sockets that send and receive them whole."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

from statelessnf.namespaces import Namespace

ALL_PROTOCOLS = 3  # ETH_P_ALL
TCP, UDP, ICMP = 6, 17, 1
CLIENT_MAC, SERVER_MAC, MAC = b"\x02" + bytes(5), b"\x02" + bytes(4) + b"\x01", bytes.fromhex("020102030405")
_PLACES = {4: (26, 30, 34), 6: (22, 38, 54)}  # of the addresses, and of the ports


def raw_socket(namespace: Namespace, interface: str) -> socket.socket:
    """Sends and receives whole frames; receives what comes in at the interface."""
    with namespace.entered():
        endpoint = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
    endpoint.bind((interface, ALL_PROTOCOLS))
    endpoint.settimeout(5.0)
    return endpoint


def datagram(protocol: int, source: tuple[str, int], target: tuple[str, int], to: bytes = SERVER_MAC) -> bytes:
    """An Ethernet frame with an IP packet that begins with two ports (of ICMP: an echo request)."""
    ends = ip_address(source[0]), ip_address(target[0])
    load = struct.pack("!HH", source[1], target[1]) + bytes([0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2]) + bytes(30)
    load = b"\x08\0\0\0" + load if protocol == ICMP else load
    addresses = ends[0].packed + ends[1].packed
    if ends[0].version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(load), 0, 0, 64, protocol, 0) + addresses
        return to + CLIENT_MAC + b"\x08\x00" + _with_checksum(head) + load
    head = struct.pack("!IHBB", 6 << 28, len(load), protocol, 64) + addresses
    return to + CLIENT_MAC + b"\x86\xdd" + head + load


def ends_of(frame: bytes) -> tuple[tuple[str, int], tuple[str, int]]:
    """Source and destination of such a frame."""
    version = 4 if frame[12:14] == b"\x08\x00" else 6
    one, other, ports = _PLACES[version]
    size = other - one
    source, target = struct.unpack_from("!HH", frame, ports)
    return (
        (str(ip_address(frame[one:other])), source),
        (str(ip_address(frame[other : other + size])), target),
    )


def neighbour_frame(to: bytes, kind: int) -> bytes:
    """What ARP sends (kind 0), or an ICMPv6 message of that type."""
    if kind == 0:
        return to + CLIENT_MAC + b"\x08\x06" + bytes(46)
    header = struct.pack("!IHBB", 6 << 28, 24, socket.IPPROTO_ICMPV6, 255) + bytes(32)
    return to + CLIENT_MAC + b"\x86\xdd" + header + bytes([kind]) + bytes(23)


def _with_checksum(head: bytes) -> bytes:
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + head[12:]
