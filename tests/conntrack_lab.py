"""Linux conntrack as an oracle: a router in a namespace, packets in on one side, and what comes out on the other.

The router's forward chain lets established flows pass and new TCP flows open, and drops the rest; tcp_loose and
tcp_be_liberal of conntrack are 0. Behind each packet goes a marker that the router always forwards: when the marker has
come out, the packet has, or was dropped. No clock is involved.
"""

import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from pyroute2 import netns

ADDRESSES = ("10.0.0.1", "192.0.2.1")  # of sides 0 and 1
_ADDRESSES = tuple(socket.inet_aton(text) for text in ADDRESSES)
_ROUTER = ("10.0.0.254", "192.0.2.254")
_HOST_MAC = ("02:00:00:00:00:01", "02:00:00:00:00:02")
_ROUTER_MAC = ("02:00:00:00:01:01", "02:00:00:00:01:02")
_MARKER_PORT = 9
_SECONDS = 5.0  # until a marker that does not come out is a fault of the set-up

_RULES = f"""
table inet oracle {{
  chain early {{ type filter hook prerouting priority raw; udp dport {_MARKER_PORT} notrack accept; }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    udp dport {_MARKER_PORT} accept
    ct state invalid drop
    ct state established,related accept
    ct state new accept
  }}
}}
"""


class Segment(NamedTuple):
    """One step of a flow: a TCP segment of `side`, numbers modulo 2^32, without payload unless `length` says so."""

    side: int
    flags: int
    seq: int
    ack: int = 0
    length: int = 0
    window: int = 65535
    scale: int = 255  # 255: no window scale option


def checksum(data: bytes) -> int:
    """Of the internet protocols (RFC 1071)."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def tcp_segment(ends: tuple[bytes, bytes], ports: tuple[int, int], step: Segment) -> bytes:
    """Header and payload of zeros with the right checksum; a window scale option unless `step.scale` is 255."""
    options = b"" if step.scale == 255 else bytes((1, 3, 3, step.scale))
    offset = (20 + len(options)) << 10  # in words, in the top bits of the field that ends with the flags
    fields = (*ports, step.seq % 2**32, step.ack % 2**32, offset | step.flags, step.window)
    rest = struct.pack("!H", 0) + options + bytes(step.length)
    header = struct.pack("!HHIIHH", *fields)
    pseudo = b"".join(ends) + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(header) + 2 + len(rest))
    return header + struct.pack("!H", checksum(pseudo + header + b"\0\0" + rest)) + rest


class Router:
    """Sends to and receives from the router; `passes` is the oracle."""

    def __init__(self, sockets: tuple[socket.socket, socket.socket]) -> None:
        self._sockets = sockets
        self._count = 0

    def passes(self, port: int, step: Segment) -> bool:
        """True if the router forwards the segment of the flow between port `port` of side 0 and port 443 of side 1."""
        self._count = (self._count + 1) & 0xFFFF
        ends = (_ADDRESSES[step.side], _ADDRESSES[1 - step.side])
        ports = (443, port) if step.side else (port, 443)
        marker = struct.pack("!HHHH", _MARKER_PORT, _MARKER_PORT, 8, 0)
        for protocol, data in ((socket.IPPROTO_TCP, tcp_segment(ends, ports, step)), (socket.IPPROTO_UDP, marker)):
            self._send(step.side, ends, protocol, data)
        return self._came_out(self._sockets[1 - step.side], self._count)

    def _send(self, side: int, ends: tuple[bytes, bytes], protocol: int, data: bytes) -> None:
        fields = (0x45, 0, 20 + len(data), self._count, 0, 64, protocol)
        begin, addresses = struct.pack("!BBHHHBB", *fields), b"".join(ends)
        network = begin + struct.pack("!H", checksum(begin + addresses)) + addresses
        link = bytes.fromhex((_ROUTER_MAC[side] + _HOST_MAC[side]).replace(":", "")) + b"\x08\x00"
        self._sockets[side].send(link + network + data)

    def _came_out(self, receiver: socket.socket, tag: int) -> bool:
        found = False
        while True:
            frame = receiver.recv(65536)
            if frame[12:14] != b"\x08\x00" or int.from_bytes(frame[18:20], "big") != tag:
                continue
            if frame[23] == socket.IPPROTO_UDP:
                return found
            found = found or frame[23] == socket.IPPROTO_TCP


def _run(*command: str, text: str = "") -> None:
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def _connect(hosts: str, router: str) -> None:
    for side in (0, 1):
        link = ("peer", "name", f"r{side}", "address", _ROUTER_MAC[side], "netns", router)
        _run("ip", "-n", hosts, "link", "add", f"h{side}", "address", _HOST_MAC[side], "type", "veth", *link)
        for space, name in ((hosts, f"h{side}"), (router, f"r{side}")):
            _run("ip", "-n", space, "link", "set", name, "up")
        _run("ip", "-n", router, "address", "add", f"{_ROUTER[side]}/24", "dev", f"r{side}")
        neighbour = (ADDRESSES[side], "lladdr", _HOST_MAC[side], "dev", f"r{side}")
        _run("ip", "-n", router, "neighbour", "add", *neighbour)


def _configure(router: str) -> None:
    inside = ("ip", "netns", "exec", router)
    _run(*inside, "nft", "-f", "-", text=_RULES)
    settings = ("ipv4.ip_forward=1", "netfilter.nf_conntrack_tcp_loose=0", "netfilter.nf_conntrack_tcp_be_liberal=0")
    _run(*inside, "sysctl", "-q", "-w", *(f"net.{setting}" for setting in settings))


def _socket(space: str, interface: str) -> socket.socket:
    netns.pushns(space)
    try:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    finally:
        netns.popns()
    made.bind((interface, 3))
    made.settimeout(_SECONDS)
    return made


@contextmanager
def conntrack_router() -> Iterator[Router]:
    """A router in namespaces of its own; both are gone afterwards."""
    hosts, router = (f"snf-ct-{name}-{os.getpid()}" for name in ("hosts", "router"))
    try:
        for space in (hosts, router):
            _run("ip", "netns", "add", space)
        _connect(hosts, router)
        _configure(router)
        with _socket(hosts, "h0") as inside, _socket(hosts, "h1") as outside:
            yield Router((inside, outside))
    finally:
        for space in (hosts, router):
            subprocess.run(("ip", "netns", "delete", space), capture_output=True, check=False)
