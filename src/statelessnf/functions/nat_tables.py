"""The rows that the NAT's compiled functions look things up in, made from a valid section [nat]."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

import numpy as np

from statelessnf.functions.nat_checks import LONGEST_NUMBERED
from statelessnf.functions.nat_config import PROTOCOLS, Forward, NatConfig
from statelessnf.functions.nat_forwards import FORWARD_ROW
from statelessnf.functions.nat_pool import POOL_ROW, SUBSCRIBER_ROW
from statelessnf.functions.nat_sessions import timeout_rows
from statelessnf.functions.timeouts import ROW
from statelessnf.networks import mapped, mapped_address
from statelessnf.owned import Address

SETTINGS_ROW = np.dtype(
    [
        ("key", "<u4"),  # of hashes
        ("block", "<u2"),  # ports of a subscriber, 0: all may use all
        ("preserve", "u1"),  # 1: the inner port is tried first
        ("per_remote", "u1"),  # 1: a record for each remote address and port, so no other one gets in
        ("log", "u1"),
    ]
)
FAMILY_ROW = np.dtype([("addresses", "<u4"), ("mss", "<u2")])  # row 0: IPv4, row 1: IPv6; mss 0: left alone

_HEADERS = {4: 40, 6: 60}  # bytes of IP and TCP (RFC 6691)
_LOW = (1 << 64) - 1

TABLE_TYPES = {
    "timeouts": ROW,
    "settings": SETTINGS_ROW,
    "families": FAMILY_ROW,
    "pool": POOL_ROW,
    "subscribers": SUBSCRIBER_ROW,
    "forwards": FORWARD_ROW,
}

Rows = np.ndarray[Any, Any]


def nat_tables(config: NatConfig) -> dict[str, Rows]:
    """All of TABLE_TYPES."""
    return {
        "timeouts": timeout_rows(config.timeouts),
        "settings": _settings_rows(config),
        "families": _family_rows(config),
        "pool": _pool_rows(config),
        "subscribers": _subscriber_rows(config),
        "forwards": np.array([_forward_row(config, forward) for forward in config.forwards], FORWARD_ROW),
    }


def _key(config: NatConfig) -> int:
    """32 bits that stay as they are while the pool does: other changes leave the mappings of new sessions alone."""
    text = ";".join(f"{span} {ports}" for version in (4, 6) for span, ports in config.spans(version))
    return int.from_bytes(hashlib.blake2s(text.encode(), digest_size=4).digest(), "little")


def _settings_rows(config: NatConfig) -> Rows:
    flags = (config.ports == "preserve", config.filtering == "address-and-port", config.log)
    return np.array([(_key(config), config.ports_per_subscriber or 0, *flags)], SETTINGS_ROW)


def _segment_limit(config: NatConfig, version: int) -> int:
    least = 1280 if version == 6 else 0  # RFC 8200 §5
    return 0 if config.outside_mtu is None else max(config.outside_mtu, least) - _HEADERS[version]


def _family_rows(config: NatConfig) -> Rows:
    rows = [(config.external_addresses(version), _segment_limit(config, version)) for version in (4, 6)]
    return np.array(rows, FAMILY_ROW)


def _pool_rows(config: NatConfig) -> Rows:
    rows = []
    for version in (4, 6):
        before = 0
        for span, ports in config.spans(version):
            first, last = mapped_address(span.first), mapped_address(span.last)
            rows.append((*_halves(first), last & _LOW, before, span.size, *ports, version))
            before += span.size
    return np.array(rows, POOL_ROW)


def _subscriber_rows(config: NatConfig) -> Rows:
    rows = []
    for version in (4, 6):
        before = 0
        for network in (one for one in config.subscribers if one.version == version):
            address, prefix = mapped(network)
            mask = (1 << 128) - (1 << (128 - prefix))
            numbered = prefix >= LONGEST_NUMBERED
            rows.append((*_halves(address), *_halves(mask), before if numbered else 0, numbered, version))
            before += network.num_addresses if numbered else 0
    return np.array(rows, SUBSCRIBER_ROW)


def _forward_row(config: NatConfig, forward: Forward) -> tuple[int, ...]:
    ends = (*_halves(mapped_address(forward.external)), *_halves(mapped_address(forward.inner)))
    match = (*forward.ports, forward.first_inner, PROTOCOLS[forward.protocol], forward.external.version)
    identity = zlib.crc32(repr((*ends, *match)).encode()) or 1
    return (*ends, identity, _number(config, forward.external), *match)


def _number(config: NatConfig, external: Address) -> int:
    """Of an address of the pool within its family."""
    before = 0
    for span, _ in config.spans(external.version):
        if int(span.first) <= int(external) <= int(span.last):
            return before + int(external) - int(span.first)
        before += span.size
    raise ValueError(f"{external} is not in the pool; add it there")


def _halves(address: int) -> tuple[int, int]:
    return address >> 64, address & _LOW
