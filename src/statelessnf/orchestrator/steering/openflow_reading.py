"""What an OpenFlow 1.3 switch says, as far as the steering wants to know it; every length is checked here, once.

os-ken's parsers are not used for it: they believe the lengths within a message, and loop for ever on one that is 0.
Raises Misbehaviour, and nothing else, whatever the bytes. Sections: of the OpenFlow Switch Specification 1.3.5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from statelessnf.orchestrator.steering.openflow_program import COOKIE_MASK

VERSION = 4
HEADER = struct.Struct("!BBHI")  # A.1: version, type, length, transaction


class Kind(IntEnum):
    """Types of messages that are looked at (A.1)."""

    hello = 0
    error = 1
    echo_request = 2
    echo_reply = 3
    features_reply = 6
    port_status = 12
    multipart_reply = 19
    barrier_reply = 21


class Misbehaviour(Exception):  # noqa: N818 - the name states the fact
    """What no OpenFlow 1.3 switch does; the text is a few words, the same for each case of a kind."""


@dataclass(frozen=True)
class Message:
    """One message: `body` is what follows the header."""

    version: int
    kind: int
    transaction: int
    body: bytes


@dataclass(frozen=True)
class Port:
    """A port of the switch (A.2.1)."""

    name: str
    number: int
    up: bool


_PORT = struct.Struct("!I4x6s2x16sII24x")
_PORT_STATUS = struct.Struct("!B7x")
_COUNTS = struct.Struct("!I4xQQ88x")  # A.3.5.6: number, -, packets received, packets sent
_MULTIPART = struct.Struct("!HH4x")
_MORE = 1
_DELETED = 1  # OFPPR_DELETE
_DOWN = 1  # OFPPC_PORT_DOWN of the configuration, OFPPS_LINK_DOWN of the state
MOST_GENERATIONS = 256


def port_status(body: bytes) -> tuple[bool, Port]:
    """Whether the port is still there, and the port."""
    (reason,) = _part(_PORT_STATUS, body, 0)
    return reason != _DELETED, _port(body, _PORT_STATUS.size)


def ports(bodies: bytes) -> Iterator[Port]:
    """Of the replies to a request for all ports."""
    return (_port(bodies, offset) for offset in range(0, len(bodies), _PORT.size))


def counts(bodies: bytes) -> dict[int, int]:
    """Packets sent by number of the port, of the replies to a request for all counters."""
    found = (_part(_COUNTS, bodies, offset) for offset in range(0, len(bodies), _COUNTS.size))
    return {number: sent for number, _, sent in found}


def groups(bodies: bytes, ours: range) -> set[int]:
    """Ids of our groups, of the replies to a request for all groups (A.3.5.10)."""
    entries = _entries(bodies, 8)
    return {number for entry in entries for number in struct.unpack_from("!I", entry, 4) if number in ours}


def cookies(bodies: bytes, ours: int) -> set[int]:
    """Cookies of our flow entries, of the replies to a request for them (A.3.5.2)."""
    found = {cookie for entry in _entries(bodies, 56) for cookie in struct.unpack_from("!Q", entry, 24)}
    found = {cookie for cookie in found if cookie & COOKIE_MASK == ours}
    if len(found) > MOST_GENERATIONS:
        raise Misbehaviour("entries that nobody made")
    return found


def datapath(body: bytes) -> int:
    """The switch's identifier, of its features (A.3.1)."""
    return int(_part(struct.Struct("!Q16x"), body, 0)[0])


def error(body: bytes) -> tuple[int, int]:
    """Type and code (A.4.4)."""
    kind, code = _part(struct.Struct("!HH"), body, 0)
    return kind, code


def multipart(body: bytes) -> tuple[int, bool, bytes]:
    """Kind of the reply, whether more follows, and its part (A.3.5)."""
    kind, flags = _part(_MULTIPART, body, 0)
    return kind, bool(flags & _MORE), body[_MULTIPART.size :]


def _port(body: bytes, offset: int) -> Port:
    number, _, name, configuration, state = _part(_PORT, body, offset)
    up = not (configuration | state) & _DOWN
    return Port(name.split(b"\0")[0].decode(errors="replace"), number, up)


def _entries(bodies: bytes, least: int) -> Iterator[bytes]:
    """Entries that begin with their length, each at least so long."""
    offset = 0
    while offset < len(bodies):
        (length,) = _part(struct.Struct("!H"), bodies, offset)
        if length < least or offset + length > len(bodies):
            raise Misbehaviour("wrong length within a message")
        yield bodies[offset : offset + length]
        offset += length


def _part(form: struct.Struct, body: bytes, offset: int) -> tuple[Any, ...]:
    if len(body) < offset + form.size:
        raise Misbehaviour("message too short")
    return form.unpack_from(body, offset)
