"""Virtual shards: the hash tags of a deployment's keys, and the keys of its services beside the flows' own.

There are 256 (protocol.md, rule 17); each owns its own 64 of a cluster's 16,384 slots. The tags are those of
engine/flow.cpp, made by the same rule. A key is '{' tag(2) '}' deployment(4) kind(1) and what the kind needs; kinds
'f' and 'g' are the engine's (flows, fragments).
"""

from __future__ import annotations

from binascii import crc_hqx
from itertools import product
from string import ascii_lowercase, ascii_uppercase, digits
from typing import NamedTuple

SHARDS = 256
LONGEST_NAME = 16  # bytes
FLOWS = b"flows"  # the service under which the engine keeps timers and counters of flows


def slot(tag: bytes) -> int:
    """The cluster's slot of a hash tag: CRC16 (XMODEM) modulo 16,384, as in the Valkey cluster specification."""
    return crc_hqx(tag, 0) % 16384


def _tags() -> tuple[bytes, ...]:
    """For each shard the first pair of letters and digits whose slot lies in its range."""
    found: dict[int, bytes] = {}
    for pair in product(digits + ascii_uppercase + ascii_lowercase, repeat=2):
        tag = "".join(pair).encode()
        found.setdefault(slot(tag) // 64, tag)
    return tuple(found[shard] for shard in range(SHARDS))


TAGS = _tags()
_SHARD_OF_HEAD = {b"{" + tag + b"}": shard for shard, tag in enumerate(TAGS)}


def shard_of(key: bytes) -> int:
    """The virtual shard of a key. Raises ValueError if the key begins with no tag of ours."""
    shard = _SHARD_OF_HEAD.get(key[:4])
    if shard is None:
        raise ValueError(f"key {key[:8]!r} does not begin with the hash tag of a virtual shard")
    return shard


class ServiceKeys(NamedTuple):
    """The keys of a service in one shard: sorted set of timers, hash of their entries, hash of counters."""

    timers: bytes
    entries: bytes
    counters: bytes


def service_keys(shard: int, deployment: int, name: bytes) -> ServiceKeys:
    """The keys of service `name` (1 to 16 bytes) of `deployment` (32 bits). Raises ValueError."""
    if not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(f"a service's name has 1 to {LONGEST_NAME} bytes, not {len(name)}")
    head = b"{%s}%s" % (TAGS[shard], deployment.to_bytes(4, "little"))
    return ServiceKeys(head + b"t" + name, head + b"e" + name, head + b"c" + name)
