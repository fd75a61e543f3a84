"""IPFIX (RFC 7011) of the events of a NAT (RFC 8158): an encoder without I/O, and a sender over UDP.

Templates are sent with the first message and again every RESEND seconds (RFC 7011 §8.4), messages have at most
LONGEST bytes, and the sequence number counts data records (§3.1), so that a collector sees what was lost on its way.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import NamedTuple

from statelessnf.owned import Address

RESEND = 60.0  # seconds
LONGEST = 1232  # bytes of a message: fits the least MTU of IPv6, 1280 (RFC 7011 §10.3.3 asks for no fragments)
_HEADER = struct.Struct("!HHIII")  # version, length, export time, sequence number, observation domain
_SET = struct.Struct("!HH")  # id, length
_VERSION, _TEMPLATES = 10, 2

# Information elements: (id, bytes)
_TIME, _EVENT, _PROTOCOL = (323, 8), (230, 1), (4, 1)
_PORTS = ((7, 2), (227, 2))  # inner and outer source port, or ICMP identifier
_REMOTE_PORT = (11, 2)
_ADDRESSES = {4: ((8, 4), (225, 4)), 6: ((27, 16), (281, 16))}  # inner, outer
_REMOTE_ADDRESS = {4: (12, 4), 6: (28, 16)}
_NAT44_SESSION, _NAT44_BINDING, _TRANSLATION = 4, 8, 1  # natEvent of a creation; that of the deletion is the next one

Endpoint = tuple[Address, int]


class Mapping(NamedTuple):
    """What is told of a mapping. `remote`: None where it is not part of the mapping."""

    created: bool  # or deleted
    time: int  # ms since 1970
    protocol: int
    inner: Endpoint
    outer: Endpoint
    remote: Endpoint | None


def nat_event(mapping: Mapping) -> int:
    """natEvent (RFC 8158, IANA): a NAT44 session, or a binding (BIB) where the mapping has no remote end. There is none
    for IPv6 to IPv6 but the old "NAT translation".
    """
    if mapping.inner[0].version == 6:
        create = _TRANSLATION
    else:
        create = _NAT44_BINDING if mapping.remote is None else _NAT44_SESSION
    return create if mapping.created else create + 1


def _fields(version: int, with_remote: bool) -> tuple[tuple[int, int], ...]:
    fields = (_TIME, _EVENT, _PROTOCOL, *_ADDRESSES[version], *_PORTS)
    return (*fields, _REMOTE_ADDRESS[version], _REMOTE_PORT) if with_remote else fields


_KINDS = {
    (version, remote): 256 + i for i, (version, remote) in enumerate([(4, True), (4, False), (6, True), (6, False)])
}


def templates() -> bytes:
    """The template set (RFC 7011 §3.4.1)."""
    body = b""
    for kind, number in _KINDS.items():
        fields = _fields(*kind)
        body += _SET.pack(number, len(fields)) + b"".join(_SET.pack(*field) for field in fields)
    return _set(_TEMPLATES, body)


def _set(number: int, body: bytes) -> bytes:
    return _SET.pack(number, _SET.size + len(body)) + body


def _record(mapping: Mapping) -> bytes:
    (inner, inner_port), (outer, outer_port) = mapping.inner, mapping.outer
    head = struct.pack("!QBB", mapping.time, nat_event(mapping), mapping.protocol)
    record = head + inner.packed + outer.packed + struct.pack("!HH", inner_port, outer_port)
    if mapping.remote is None:
        return record
    return record + mapping.remote[0].packed + struct.pack("!H", mapping.remote[1])


def _kind(mapping: Mapping) -> int:
    return _KINDS[mapping.inner[0].version, mapping.remote is not None]


class Encoder:
    """Messages of one observation domain, in their order."""

    def __init__(self, domain: int) -> None:
        self._domain, self._sequence = domain, 0

    def messages(self, mappings: Sequence[Mapping], now: float, with_templates: bool) -> Iterator[bytes]:
        """All of `mappings`, in as many messages as it takes. `now`: s since 1970."""
        sets, records = templates() if with_templates else b"", 0
        for number, body in _sets(mappings, LONGEST - _HEADER.size - len(templates())):
            data = _set(number, b"".join(body))
            if records and _HEADER.size + len(sets) + len(data) > LONGEST:
                yield self._message(sets, records, now)
                sets, records = b"", 0
            sets, records = sets + data, records + len(body)
        if sets:
            yield self._message(sets, records, now)

    def _message(self, sets: bytes, records: int, now: float) -> bytes:
        length = _HEADER.size + len(sets)
        header = _HEADER.pack(_VERSION, length, int(now) & 0xFFFFFFFF, self._sequence, self._domain)
        self._sequence = (self._sequence + records) & 0xFFFFFFFF
        return header + sets


def _sets(mappings: Sequence[Mapping], room: int) -> Iterator[tuple[int, list[bytes]]]:
    """Records of one template each, as many as `room` bytes hold, in order."""
    number, body = 0, list[bytes]()
    for mapping in mappings:
        kind, record = _kind(mapping), _record(mapping)
        if body and (kind != number or _SET.size + (len(body) + 1) * len(record) > room):
            yield number, body
            body = []
        number = kind
        body.append(record)
    if body:
        yield number, body


class Exporter:
    """Sends mappings to a collector. Threads may share it. UDP promises nothing: the collector sees from a gap in the
    sequence numbers what was lost on the way; `unsent` counts messages that did not even leave.
    """

    def __init__(self, collector: tuple[Address, int], domain: int, clock: Callable[[], float] = time.time) -> None:
        address, port = collector
        self._socket = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._collector = (str(address), port)
        self._encoder, self._clock, self._lock = Encoder(domain), clock, Lock()
        self._templates_at = float("-inf")
        self.unsent = 0

    def send(self, mappings: Sequence[Mapping]) -> None:
        """Sends all of them, with templates where they are due."""
        with self._lock:
            now = self._clock()
            due = not self._templates_at <= now < self._templates_at + RESEND
            self._templates_at = now if due else self._templates_at
            for message in self._encoder.messages(mappings, now, due):
                self._deliver(message)

    def _deliver(self, message: bytes) -> None:
        try:
            self._socket.sendto(message, self._collector)
        except OSError:  # no route, or no room
            self.unsent += 1

    def close(self) -> None:
        """Nothing can be sent any more."""
        self._socket.close()
