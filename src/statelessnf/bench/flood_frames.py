"""Frames of a flood, many at a time: SYNs and datagrams with right checksums, and sources that nobody has.

Outer addresses of a flood are those that are set aside for benchmarks (RFC 2544 appendix C.2.2), so that hosts of the
lab can tell them. All frames of a batch are one array, made anew in place.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STRANGERS = IPv4Network("198.18.0.0/15")
SUBSCRIBERS = IPv4Network("10.128.0.0/9")  # inner sources of a flood from inside
LENGTH = 60  # bytes of a frame without FCS
_ETHERNET, _IP = 14, 20
_TCP, _UDP = 6, 17
_SYN, _WINDOW = 0x5002, 0xFFFF
_ANYWHERE = 1 << 16

Words = NDArray[np.uint16]  # (frames, LENGTH / 2), big endian


class Flood(NamedTuple):
    """What a flood sends. Networks and ports: each frame draws its own; a port of 0 is any."""

    from_inside: bool
    protocol: int
    sources: IPv4Network
    destinations: IPv4Network
    port: int
    scan: bool = False  # one source, destination ports one after the other


def _to(address: str) -> IPv4Network:
    return IPv4Network(f"{address}/32")


def syn_flood(address: str, port: int) -> Flood:
    """SYNs of random sources to a service that is open to all."""
    return Flood(False, _TCP, STRANGERS, _to(address), port)


def udp_flood(address: str) -> Flood:
    """Datagrams of random sources to random ports of an address."""
    return Flood(False, _UDP, STRANGERS, _to(address), 0)


def port_scan(address: str) -> Flood:
    """SYNs of one source to all ports of an address."""
    return Flood(False, _TCP, _to(str(STRANGERS[1])), _to(address), 0, scan=True)


def flood_from_inside() -> Flood:
    """Datagrams of random inner hosts to random ones outside: each opens a flow."""
    return Flood(True, _UDP, SUBSCRIBERS, STRANGERS, 0)


class FloodFrames:
    """A batch of `count` frames in `bytes_`, (count, LENGTH), which `renew` fills with the flood's next ones."""

    def __init__(self, flood: Flood, mac: bytes, count: int, seed: int = 1) -> None:
        self._flood, self._random, self._next = flood, np.random.default_rng(seed), 0
        self._words = np.zeros((count, LENGTH // 2), ">u2")
        self.bytes_ = self._words.view(np.uint8)
        length = LENGTH - _ETHERNET if flood.protocol == _UDP else 40
        header = mac + bytes.fromhex("020000000001") + b"\x08\x00\x45\x00" + length.to_bytes(2, "big")
        self.bytes_[:, : len(header)] = np.frombuffer(header, np.uint8)
        self.bytes_[:, _ETHERNET + 8] = 64
        self.bytes_[:, _ETHERNET + 9] = flood.protocol
        self._transport_bytes = length - _IP
        if flood.protocol == _UDP:
            self._words[:, 19] = self._transport_bytes
        else:
            self._words[:, 23], self._words[:, 24] = _SYN, _WINDOW

    def renew(self) -> None:
        """The next frames."""
        words, count = self._words, len(self._words)
        words[:, 13:15] = self._addresses(self._flood.sources)
        words[:, 15:17] = self._addresses(self._flood.destinations)
        words[:, 17] = self._random.integers(1024, _ANYWHERE, count)
        words[:, 18] = self._ports(count)
        if self._flood.protocol == _TCP:
            words[:, 19:21] = self._random.integers(0, _ANYWHERE, (count, 2))
        words[:, 12] = 0
        words[:, 12] = _checksum(words[:, 7:17])
        self._sum_transport()

    def _addresses(self, network: IPv4Network) -> NDArray[np.int64]:
        first, size = int(network.network_address), network.num_addresses
        drawn = first + self._random.integers(0, size, len(self._words))
        return np.stack([drawn >> 16, drawn & 0xFFFF], axis=1)

    def _ports(self, count: int) -> NDArray[np.int64] | int:
        if self._flood.scan:
            self._next += count
            return np.arange(self._next - count, self._next) % (_ANYWHERE - 1) + 1
        return self._flood.port or self._random.integers(1, _ANYWHERE, count)

    def _sum_transport(self) -> None:
        place = 20 if self._flood.protocol == _UDP else 25
        self._words[:, place] = 0
        pseudo = self._flood.protocol + self._transport_bytes
        total = _checksum(np.concatenate([self._words[:, 13:17], self._words[:, 17:]], axis=1), pseudo)
        self._words[:, place] = np.where(total == 0, 0xFFFF, total)  # RFC 768: 0 would be none; for TCP the same value


def _checksum(words: Words, begin: int = 0) -> NDArray[np.int64]:
    """RFC 1071, row by row."""
    total: NDArray[np.int64] = words.sum(axis=1, dtype=np.int64) + begin
    for _ in range(2):
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
