"""Where each packet of a capture goes in a replay: the side that it came from, its instance, what it waits for.

Side: a packet whose source is in one of the `inside` networks came from inside; otherwise it came from outside, also
where neither address is inside. An ICMP error travels against the packet that it quotes. ARP, neighbour discovery and
frames that no function sees count as coming from inside and wait for nobody.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple
from zlib import crc32

from statelessnf.networks import Network, mapped
from statelessnf.packet import FRAGMENT, ICMP_ERROR, PACKET
from statelessnf.split import Split

Describe = Callable[[bytes], tuple[str, bytes, bytes]]  # (what, key, packet record), see statelessnf/_engine.pyi

INSIDE, OUTSIDE = 0, 1
DATAGRAMS = 16_384  # fragmented datagrams whose flow is remembered
_KIND_OF_KEY = 8  # offset, engine/flow.hpp
_DATAGRAM_KEY = ord("g")
_ADDRESSES = Struct("<QQQQ")


class Route(NamedTuple):
    """Side that the packet came from, index of its pipe, and the keys that it waits on."""

    side: int
    pipe: int
    keys: tuple[bytes, ...]


def _offset(name: str) -> int:
    fields: Any = PACKET.fields
    return int(fields[name][1])


_KIND, _SOURCE_PORT, _PROTOCOL = _offset("kind"), _offset("source_port"), _offset("protocol")


class Router:
    """Routes frames over `pipes` pipes. `inside`: see above; `describe`: the engine's parser."""

    def __init__(self, describe: Describe, inside: Sequence[Network], pipes: int, split: Split) -> None:
        self._describe, self._pipes, self._split = describe, pipes, split
        self._flows: OrderedDict[bytes, bytes] = OrderedDict()  # of datagrams whose first fragment was seen
        masks = [_mask(network) for network in inside]
        self._is_inside = lru_cache(1 << 16)(
            lambda high, low: any((high << 64 | low) & mask == value for mask, value in masks)
        )

    def route(self, frame: bytes, token: int) -> Route:
        """Where packet number `token` goes."""
        what, key, header = self._describe(frame)
        if what != "flow":
            return Route(INSIDE, token % self._pipes if self._split is Split.packet else 0, ())
        side, keys = self._side(header), self._keys(key, header)
        return Route(side, self._pipe(side, token, keys[0]), keys)

    def flow(self, frame: bytes) -> bytes | None:
        """The key that packets of this frame's flow wait on; None for what belongs to no flow."""
        what, _, header = self._describe(frame)
        return _flow_key(header) if what == "flow" else None

    def _side(self, header: bytes) -> int:
        source_high, source_low, destination_high, destination_low = _ADDRESSES.unpack_from(header)
        if header[_KIND] == ICMP_ERROR:  # has the addresses of the packet that it quotes
            from_inside = self._is_inside(destination_high, destination_low)
            return INSIDE if from_inside and not self._is_inside(source_high, source_low) else OUTSIDE
        return INSIDE if self._is_inside(source_high, source_low) else OUTSIDE

    def _keys(self, key: bytes, header: bytes) -> tuple[bytes, ...]:
        """The flow; for fragments the datagram, too. A later fragment's flow is that of its first."""
        if key[_KIND_OF_KEY] != _DATAGRAM_KEY:
            return (_flow_key(header),)
        if header[_KIND] != FRAGMENT:
            self._flows[key] = _flow_key(header)
            if len(self._flows) > DATAGRAMS:
                self._flows.popitem(last=False)
        return (self._flows[key], key) if key in self._flows else (key,)

    def _pipe(self, side: int, token: int, flow: bytes) -> int:
        if self._split is Split.packet:
            return token % self._pipes
        if self._split is Split.flow or self._pipes == 1:
            return crc32(flow) % self._pipes
        inner = (self._pipes + 1) // 2  # of the pipes serve what comes from inside, the others the rest
        return crc32(flow) % inner if side == INSIDE else inner + crc32(flow) % (self._pipes - inner)


def _mask(network: Network) -> tuple[int, int]:
    """Mask and value over 128 bits."""
    address, prefix = mapped(network)
    return (1 << 128) - (1 << (128 - prefix)), address


def _flow_key(header: bytes) -> bytes:
    """Protocol and both endpoints, the same in both directions."""
    source = header[0:16] + header[_SOURCE_PORT : _SOURCE_PORT + 2]
    destination = header[16:32] + header[_SOURCE_PORT + 2 : _SOURCE_PORT + 4]
    both = source + destination if source < destination else destination + source
    return both + header[_PROTOCOL : _PROTOCOL + 1]
