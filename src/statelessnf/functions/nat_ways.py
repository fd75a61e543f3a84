"""Rewriting: which end of a packet's tuple a record replaces, and by what.

A record holds the inner endpoint of one side and the outer one that stands for it. In most sessions the other side is
outside, and its endpoint stays. In a hairpin session (RFC 4787 REQ-9) it is an inner host behind a static forward, so
its endpoint is replaced as well: `record.forward` says by which. The tuple of an ICMP error is that of the packet that
it quotes, which this NAT has rewritten before: the rewriting is taken back (RFC 5508 §4.2).
"""

from typing import Any

from statelessnf.functions.nat_forwards import inner_port, outer_port
from statelessnf.packet import ICMP, ICMP_ERROR, ICMPV6, INBOUND, OUTBOUND

# ENTERS, LEAVES: a packet of the other side's, or of the record's own; QUOTES_...: an error about such a packet.
ASTRAY, LEAVES, ENTERS, QUOTES_LEFT, QUOTES_ENTERED = range(5)


def is_from_inner(packet: Any, record: Any) -> bool:
    same = packet.source_high == record.inner_high and packet.source_low == record.inner_low
    return bool(same and packet.source_port == record.inner_port)


def is_from_outer(packet: Any, record: Any) -> bool:
    same = packet.source_high == record.outer_high and packet.source_low == record.outer_low
    return bool(same and packet.source_port == record.outer_port)


def is_to_inner(packet: Any, record: Any) -> bool:
    same = packet.destination_high == record.inner_high and packet.destination_low == record.inner_low
    return bool(same and packet.destination_port == record.inner_port)


def is_to_outer(packet: Any, record: Any) -> bool:
    same = packet.destination_high == record.outer_high and packet.destination_low == record.outer_low
    return bool(same and packet.destination_port == record.outer_port)


def way_of(packet: Any, record: Any) -> int:
    """ASTRAY: the tuple is the session's, but the packet came from the wrong side, and must not pass untranslated."""
    outbound, hairpin = packet.direction == OUTBOUND, record.forward != 0
    inbound = packet.direction == INBOUND or hairpin
    if packet.kind == ICMP_ERROR:
        if inbound and is_from_outer(packet, record):
            return QUOTES_LEFT
        return QUOTES_ENTERED if outbound and is_to_inner(packet, record) else ASTRAY
    if outbound and is_from_inner(packet, record):
        return LEAVES
    return ENTERS if inbound and is_to_outer(packet, record) else ASTRAY


def _set_source(packet: Any, high: int, low: int, port: int) -> None:
    packet.source_high, packet.source_low, packet.source_port = high, low, port
    if packet.protocol in (ICMP, ICMPV6):
        packet.destination_port = port  # an identifier stands in both


def _set_destination(packet: Any, high: int, low: int, port: int) -> None:
    packet.destination_high, packet.destination_low, packet.destination_port = high, low, port
    if packet.protocol in (ICMP, ICMPV6):
        packet.source_port = port


def rewrite(packet: Any, record: Any, way: int) -> None:
    """The record's own endpoint."""
    if way == LEAVES:
        _set_source(packet, record.outer_high, record.outer_low, record.outer_port)
    elif way == ENTERS:
        _set_destination(packet, record.inner_high, record.inner_low, record.inner_port)
    elif way == QUOTES_LEFT:
        _set_source(packet, record.inner_high, record.inner_low, record.inner_port)
    else:
        _set_destination(packet, record.outer_high, record.outer_low, record.outer_port)


def rewrite_far(packet: Any, row: Any, way: int) -> None:
    """The other side's endpoint, which stands behind the forward `row`."""
    source, destination = packet.source_port + 0, packet.destination_port + 0
    if way == LEAVES:
        _set_destination(packet, row.inner_high, row.inner_low, inner_port(row, destination))
    elif way == ENTERS:
        _set_source(packet, row.outer_high, row.outer_low, outer_port(row, source))
    elif way == QUOTES_LEFT:
        _set_destination(packet, row.outer_high, row.outer_low, outer_port(row, destination))
    else:
        _set_source(packet, row.inner_high, row.inner_low, inner_port(row, source))
