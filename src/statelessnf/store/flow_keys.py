"""Flow keys as the engine makes them (engine/flow.hpp): taken apart, checked, and led to a flow's other key.

A key that `flow_key` accepts may stand for a flow; whether one does is for the store to say.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from statelessnf.networks import mapped_address
from statelessnf.packet import ICMP, ICMPV6
from statelessnf.store.shards import TAGS, shard_of

Endpoint = tuple[IPv4Address | IPv6Address, int]

FLOW = ord("f")  # the kind of a flow's key
_VERSION, _PROTOCOL = 9, 10  # offsets
_IPV4_ENDS, _IPV6_ENDS = struct.Struct("!4s4sHH"), struct.Struct("!16sH16sH")
_IPV4_SIZE, _IPV6_SIZE = 12 + _IPV4_ENDS.size, 11 + _IPV6_ENDS.size
_MASK = (1 << 64) - 1
_GLOB = b"*?[]\\"


class FlowKey(NamedTuple):
    """What a key says. `low`, `high`: the flow's ends, in order; of a NAT's remote end what its filtering leaves."""

    version: int
    protocol: int
    low: Endpoint
    high: Endpoint


def flow_key(key: bytes, deployment: int) -> FlowKey:
    """Raises ValueError for what is no flow's key of this deployment."""
    shard_of(key)
    head = deployment.to_bytes(4, "little") + bytes([FLOW])
    if key[4:9] != head or (key[9:10], len(key)) not in ((b"\x04", _IPV4_SIZE), (b"\x06", _IPV6_SIZE)):
        raise ValueError(f"no flow's key of this deployment: {key[:12]!r}")
    low, high = ends_of(key)
    if (mapped_address(low[0]), low[1]) > (mapped_address(high[0]), high[1]) or (key[9] == 4 and key[11]):
        raise ValueError(f"no flow's key: its ends are out of order: {key!r}")
    return FlowKey(key[_VERSION], key[_PROTOCOL], low, high)


def ends_of(key: bytes) -> tuple[Endpoint, Endpoint]:
    """Both ends in a flow's key. Raises struct.error, IndexError for one that is too short."""
    if key[_VERSION] == 6:
        low, low_port, high, high_port = _IPV6_ENDS.unpack_from(key, 11)
        return (IPv6Address(low), low_port), (IPv6Address(high), high_port)
    low, high, low_port, high_port = _IPV4_ENDS.unpack_from(key, 12)
    return (IPv4Address(low), low_port), (IPv4Address(high), high_port)


def keys_pattern(deployment: int) -> bytes:
    """Matches the deployment's flow keys (MATCH of SCAN), and hardly anything else."""
    number = bytes(deployment.to_bytes(4, "little"))
    escaped = b"".join(b"\\" + bytes([byte]) if byte in _GLOB else bytes([byte]) for byte in number)
    return b"{??}" + escaped + bytes([FLOW]) + b"*"


def link_size(version: int) -> int:
    """Bytes of both ends in a key, which is as much as a record's link to its other key (engine/pair.hpp)."""
    return _IPV6_ENDS.size if version == 6 else _IPV4_ENDS.size


class ShardMap:
    """The virtual shard of ports under the deployment's secret: `Keys` in engine/flow.cpp."""

    def __init__(self, secret: int) -> None:
        second = _stretch(secret)
        self._secrets = second, _stretch(second)

    def other_key(self, key: bytes, link: bytes) -> bytes | None:
        """The flow's other key, None: it has one only. `link`: both keys' ends, xored."""
        if not any(link):
            return None
        ends = bytes(one ^ other for one, other in zip(key[-len(link) :], link, strict=True))
        return self.tagged(key[: -len(link)] + ends)

    def tagged(self, key: bytes) -> bytes:
        """A flow's key with the tag of its ports' shard."""
        (_, one), (_, other) = ends_of(key)
        if key[_PROTOCOL] == (ICMP if key[_VERSION] == 4 else ICMPV6):
            one, other = one | other, 0  # the identifier may stand in both
        return b"{%s}" % TAGS[self._of_port(one) ^ self._of_port(other)] + key[4:]

    def _of_port(self, port: int) -> int:
        product = (port ^ self._secrets[0]) * self._secrets[1]
        return ((product ^ product >> 64) & _MASK) >> 56


def _stretch(secret: int) -> int:
    """A second secret from the first (the SplitMix64 finalizer), never even."""
    secret = secret + 0x9E3779B97F4A7C15 & _MASK
    secret = (secret ^ secret >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    secret = (secret ^ secret >> 27) * 0x94D049BB133111EB & _MASK
    return secret ^ secret >> 31 | 1
