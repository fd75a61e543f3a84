"""The log that an operator of a NAT keeps (RFC 6888 §4): who had which external address and port, from when to when.

A document each for a mapping's creation (an event of the engine's) and for its deletion (by its timer), which have the
same `id`: protocol, inner and outer endpoint and, where the mapping is for one remote end alone, that. The same goes to
a collector as IPFIX, if one is named. A deletion is told at its deadline, from which on nobody can use the mapping; it
may be told twice, in the same words, if an instance dies over it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import IPv6Address
from typing import Any, cast

import numpy as np

from statelessnf.duties.duty import Host
from statelessnf.events import PROTOCOLS
from statelessnf.functions.nat import Nat
from statelessnf.functions.nat_collector import parse_collector
from statelessnf.functions.nat_config import NatConfig
from statelessnf.ipfix import Endpoint, Exporter, Mapping
from statelessnf.packet import ICMP, ICMPV6, PACKET
from statelessnf.store.flow_keys import ends_of
from statelessnf.store.service_requests import deadline_of

PERIOD = 1.0  # seconds between two deliveries
DELETED = "mapping_deleted"
_ENVELOPE = 17  # bytes before the function's fields (engine/record.hpp)


class MappingLog:
    """A duty (duty.py) that delivers to the collector; beside it, `created` and `deleted` may be called by any thread.

    `domain`: of IPFIX, the deployment's number.
    """

    def __init__(self, host: Host, domain: int) -> None:
        self._host, self._domain = host, domain
        self._undelivered: deque[Mapping] = deque()
        self._collector: str | None = None
        self._exporter: Exporter | None = None
        self.period = PERIOD

    def created(self, document: dict[str, Any], header: bytes, record: bytes) -> dict[str, Any]:
        """The event's document with what the log adds; others as they are. `header`, `record`: the engine's."""
        if not record or document["event"] not in Nat.events:
            return document
        mapping = _created(np.frombuffer(header, PACKET)[0], np.frombuffer(record, Nat.record)[0], self._filtering)
        self._undelivered.append(mapping)
        return document | _words(mapping)

    def deleted(self, keys: tuple[bytes, ...], value: bytes) -> None:
        """See `expiry.OnExpire`."""
        if not cast(NatConfig, self._host.settings).log:
            return
        try:
            mapping = _deleted(keys, value, self._filtering)
        except (ValueError, IndexError, struct.error):
            self._host.say("a record that is none of this release's has ended; the mapping log lacks it")
            return
        self._undelivered.append(mapping)
        when = datetime.fromtimestamp(mapping.time / 1000, UTC).isoformat(timespec="milliseconds")
        inner, outer = _text(mapping.inner), _text(mapping.outer)
        head = {"event": DELETED, "time": when, "protocol": _protocol(mapping), "inner": inner, "outer": outer}
        self._host.tell(head | _words(mapping))

    def look(self) -> None:
        """See `Duty`."""
        self._follow_settings()
        mappings = list(self._taken())
        if self._exporter is not None:
            self._exporter.send(mappings)
            self._host.show("ipfix_unsent", self._exporter.unsent)

    def close(self) -> None:
        """See `Duty`. Delivers the rest."""
        self.look()
        if self._exporter is not None:
            self._exporter.close()

    @property
    def _filtering(self) -> str:
        return cast(NatConfig, self._host.settings).filtering

    def _follow_settings(self) -> None:
        wanted = cast(NatConfig, self._host.settings).ipfix
        if wanted == self._collector:
            return
        if self._exporter is not None:
            self._exporter.close()
        self._exporter = None if wanted is None else Exporter(parse_collector(wanted), self._domain)
        self._collector = wanted

    def _taken(self) -> Iterator[Mapping]:
        with suppress(IndexError):
            while True:
                yield self._undelivered.popleft()


def _created(packet: Any, record: Any, filtering: str) -> Mapping:
    """`packet`: as rewritten, or as received. In a hairpin session the first says, as the flow's second key does, which
    inner host the other side is.
    """
    protocol, inner, outer = int(packet["protocol"]), _endpoint(record, "inner"), _endpoint(record, "outer")
    ends = [_endpoint(packet, end) for end in ("source", "destination")]
    remote = next((end for end in ends if end not in (inner, outer)), None)
    return Mapping(True, int(packet["now"]), protocol, inner, outer, _remote(remote, protocol, filtering))


def _deleted(keys: tuple[bytes, ...], value: bytes, filtering: str) -> Mapping:
    record = np.frombuffer(value, Nat.record, 1, _ENVELOPE)[0]
    protocol, inner, outer = keys[0][10], _endpoint(record, "inner"), _endpoint(record, "outer")
    remote = next((other for key in keys for one, other in _both_ways(ends_of(key)) if one == outer), None)
    return Mapping(False, deadline_of(value), protocol, inner, outer, _remote(remote, protocol, filtering))


def _remote(end: Endpoint | None, protocol: int, filtering: str) -> Endpoint | None:
    """As far as it belongs to the mapping (docs/decisions/nat-mappings.md); of ICMP the address alone."""
    if end is None or filtering == "endpoint-independent":
        return None
    return (end[0], 0) if filtering == "address" or protocol in (ICMP, ICMPV6) else end


def _endpoint(fields: Any, end: str) -> Endpoint:
    address = IPv6Address(int(fields[f"{end}_high"]) << 64 | int(fields[f"{end}_low"]))
    return address.ipv4_mapped or address, int(fields[f"{end}_port"])


def _both_ways(ends: tuple[Endpoint, Endpoint]) -> tuple[tuple[Endpoint, Endpoint], tuple[Endpoint, Endpoint]]:
    return ends, (ends[1], ends[0])


def _words(mapping: Mapping) -> dict[str, Any]:
    parts = [str(_protocol(mapping)), _text(mapping.inner), _text(mapping.outer)]
    if mapping.remote is None:
        return {"id": " ".join(parts)}
    remote = _text(mapping.remote)
    return {"remote": remote, "id": " ".join([*parts, remote])}


def _protocol(mapping: Mapping) -> str | int:
    return PROTOCOLS.get(mapping.protocol, mapping.protocol)


def _text(end: Endpoint) -> str:
    """`10.0.0.1:80`, `[fd00::1]:80`, without a port where that is 0."""
    address, port = end
    text = f"[{address}]" if address.version == 6 else str(address)
    return f"{text}:{port}" if port else text
