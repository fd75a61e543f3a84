"""Which external endpoint an inner endpoint is given: the candidates, in the order in which they are tried.

Candidates depend on the inner endpoint, the protocol and the number of the attempt alone. So every instance tries the
same ones, and the mapping is endpoint-independent for as long as the first one is not refused (RFC 4787 REQ-1). An
inner address always has the same external one (REQ-2: paired). Its port is the inner one, or with random ports one
that a keyed hash says (RFC 6056); then come others of the same class and parity (REQ-3, REQ-4) in a scattered order in
which none comes twice, then those of the other parity. No lock and no list of free ports: creating the session's two
keys takes the candidate, or says that it is taken.

After MAX_ATTEMPTS candidates the packet is dropped. With a part `u` of the ports taken towards one remote endpoint,
all fail with probability u^64: 1 in 800 flows at 0.9, 1 in 26 at 0.95. Up to 64 ports are all tried.
"""

from math import gcd
from typing import Any

import numpy as np

from statelessnf.functions.nat_forwards import is_forwarded

MAX_ATTEMPTS = 64
_TRIES = MAX_ATTEMPTS // 2  # of each parity
_WELL_KNOWN = 1024  # ports below are a class of their own (RFC 4787 REQ-3a)
_MASK = 0xFFFFFFFF
_NUMBERS = (1 << 40) - 1  # there are no more subscribers with a number: 2^20 addresses of the pool, 2^16 blocks each

POOL_ROW = np.dtype(
    [
        ("high", "<u8"),  # of all addresses of the row
        ("low", "<u8"),  # of the first
        ("last_low", "<u8"),
        ("before", "<u4"),  # addresses of the same family in earlier rows
        ("count", "<u4"),
        ("first_port", "<u2"),
        ("last_port", "<u2"),
        ("version", "u1"),
    ]
)
SUBSCRIBER_ROW = np.dtype(
    [
        ("high", "<u8"),
        ("low", "<u8"),
        ("mask_high", "<u8"),
        ("mask_low", "<u8"),
        ("before", "<u8"),  # subscribers of the same family in earlier rows
        ("numbered", "u1"),  # 0: more than 2^32 addresses, which are hashed
        ("version", "u1"),
    ]
)


def mixed(state: int, word: int) -> int:
    """One step of a 32-bit multiplicative hash (constants of xxHash32); 0 .. 2^32-1 each."""
    state = ((state ^ word) * 0x9E3779B1) & _MASK
    state = ((state ^ (state >> 15)) * 0x85EBCA77) & _MASK
    return state ^ (state >> 13)


def hashed_address(high: int, low: int, key: int) -> int:
    """31 bits for an address in two unsigned 64-bit halves."""
    state = mixed(mixed(key, (high + 0) >> 32 & _MASK), (high + 0) & _MASK)
    return mixed(mixed(state, (low + 0) >> 32 & _MASK), (low + 0) & _MASK) >> 1


def subscriber_of(high: int, low: int, version: int, tables: Any) -> int:
    """Number of the subscriber with this address: in order, where its network is small enough; -1: it is none."""
    for i in range(len(tables.subscribers)):
        row = tables.subscribers[i]
        if row.version == version and high & row.mask_high == row.high and low & row.mask_low == row.low:
            if row.numbered:
                number: int = ((low + 0) & _MASK) - ((row.low + 0) & _MASK) + ((row.before + 0) & _NUMBERS)
                return number
            return hashed_address(high, low, tables.settings[0].key + 0)
    return -1


def is_owned(high: int, low: int, version: int, tables: Any) -> bool:
    """An address of the pool."""
    for i in range(len(tables.pool)):
        row = tables.pool[i]
        if row.version == version and row.high == high and row.low <= low and low <= row.last_low:
            return True
    return False


def _row_with(address: int, version: int, tables: Any) -> int:
    """Index of the row that has address number `address` of its family, -1: none."""
    for i in range(len(tables.pool)):
        row = tables.pool[i]
        if row.version == version and row.before <= address < row.before + row.count:
            return i
    return -1


def _stride(count: int, scatter: int) -> int:
    """A step that reaches all of `count` places on a circle."""
    if count < 3:
        return 1
    step = 1 + scatter % (count - 1)
    while gcd(step, count) != 1:
        step += 1
    return step


def _candidate(packet: Any, tables: Any, address: int, low: int, high: int) -> int:
    """The port, low .. high, that is number `packet.attempt` of those that no forward owns; 0: there is none."""
    settings, inner, refused = tables.settings[0], packet.source_port + 0, packet.attempt + 0
    scatter = hashed_address(packet.source_high, packet.source_low, (settings.key + 0) ^ packet.protocol)
    scatter = mixed(scatter, inner)
    for parity in range(2):  # 0: that of the inner port
        first = low + ((low ^ inner ^ parity) & 1)
        count = (high - first) // 2 + 1
        place, step = scatter % max(count, 1), _stride(count, mixed(scatter, parity))
        if settings.preserve and parity == 0 and low <= inner <= high:
            place = (inner - first) // 2
        for i in range(min(count, _TRIES)):
            port: int = first + 2 * ((place + i * step) % count)
            if is_forwarded(packet, tables, address, port):
                continue
            if refused == 0:
                return port
            refused -= 1
    return 0


def choose(packet: Any, record: Any, tables: Any, subscriber: int) -> bool:
    """Gives the record its outer endpoint; False, and the record is as it was: no port is left."""
    addresses, block = tables.families[0 if packet.version == 4 else 1].addresses + 0, tables.settings[0].block + 0
    address = subscriber % addresses
    index = _row_with(address, packet.version, tables)
    row = tables.pool[index]
    low, high = row.first_port + 0, row.last_port + 0
    if block:  # the subscriber's own ports: the quota (RFC 7422)
        low += subscriber // addresses * block
        high = low + block - 1
    else:
        low, high = _class_of(packet.source_port + 0, low, high)
    port = _candidate(packet, tables, address, low, high)
    if port != 0:
        record.outer_high = row.high
        record.outer_low = (row.low + 0) + (address - row.before)
        record.outer_port = port
    return port != 0


def _class_of(port: int, low: int, high: int) -> tuple[int, int]:
    """Those of the ports low .. high that are of one class with `port`; all of them, if none is."""
    first = low if port < _WELL_KNOWN else max(low, _WELL_KNOWN)
    last = min(high, _WELL_KNOWN - 1) if port < _WELL_KNOWN else high
    return (first, last) if first <= last else (low, high)
