"""How a session begins: who may open one, and which endpoints its record holds. Lines 4 to 9 of Algorithm 5.

The verdict is FORWARD, with the record's endpoints set, or a drop that leaves the record as it was.
"""

from typing import Any

from statelessnf.functions.nat_forwards import forward_of, forward_to, inner_port, outer_port
from statelessnf.functions.nat_pool import choose, is_owned, subscriber_of
from statelessnf.packet import FORWARD, drop_as, prohibit

# Drop reasons by index
NO_MAPPING, NO_PORT_LEFT, FILTERED, NOT_TRANSLATED, NOT_OPENING, PROTOCOL_NOT_TRANSLATED = range(6)


def family_of(packet: Any) -> int:
    """Row of `tables.families`."""
    return 0 if packet.version == 4 else 1


def set_inner(record: Any, high: int, low: int, port: int) -> None:
    record.inner_high, record.inner_low, record.inner_port = high, low, port


def set_outer(record: Any, high: int, low: int, port: int) -> None:
    record.outer_high, record.outer_low, record.outer_port = high, low, port


def is_hairpin(packet: Any, tables: Any) -> bool:
    """An inner host speaks to an external address of ours (RFC 4787 REQ-9).

    Where the remote endpoint is no part of the keys the packet leaves like any other, and the engine takes it in again
    as received outside. Otherwise one session has both ends, and only a forward says who stands behind the address.
    """
    owned = is_owned(packet.destination_high, packet.destination_low, packet.version, tables)
    return bool(owned and tables.settings[0].per_remote)


def is_to_itself(packet: Any, row: Any) -> bool:
    same = packet.source_high == row.inner_high and packet.source_low == row.inner_low
    return bool(same and packet.source_port == inner_port(row, packet.destination_port + 0))


def select(packet: Any, record: Any, tables: Any, subscriber: int) -> bool:
    """The outer endpoint: a forward's own for what it leads to, else a candidate of the pool. False: none is left."""
    forward = forward_of(packet, tables) if packet.attempt == 0 else -1
    if forward < 0:
        return choose(packet, record, tables, subscriber)
    row = tables.forwards[forward]
    set_outer(record, row.outer_high, row.outer_low, outer_port(row, packet.source_port + 0))
    return True


def open_outbound(packet: Any, record: Any, tables: Any) -> int:
    subscriber = subscriber_of(packet.source_high, packet.source_low, packet.version, tables)
    inside = subscriber_of(packet.destination_high, packet.destination_low, packet.version, tables)
    if subscriber < 0 or inside >= 0 or tables.families[family_of(packet)].addresses == 0:
        return drop_as(NOT_TRANSLATED)
    hairpin, forward = is_hairpin(packet, tables), -1
    if hairpin:
        forward = forward_to(packet, tables)
        if forward < 0:
            return drop_as(NO_MAPPING)
        if is_to_itself(packet, tables.forwards[forward]):
            return drop_as(NOT_TRANSLATED)
    if not select(packet, record, tables, subscriber):
        prohibit(packet)
        return drop_as(NO_PORT_LEFT)
    set_inner(record, packet.source_high, packet.source_low, packet.source_port)
    record.forward = tables.forwards[forward].id if hairpin else 0
    return FORWARD


def open_inbound(packet: Any, record: Any, tables: Any) -> int:
    """Nobody outside opens a session but through a forward; nothing is answered (RFC 5382 REQ-4)."""
    forward = forward_to(packet, tables)
    if forward < 0:
        return drop_as(NO_MAPPING)
    if subscriber_of(packet.source_high, packet.source_low, packet.version, tables) >= 0:
        return drop_as(NOT_TRANSLATED)  # a forged source
    if packet.attempt:
        return drop_as(NO_PORT_LEFT)  # its only candidate
    row = tables.forwards[forward]
    set_outer(record, packet.destination_high, packet.destination_low, packet.destination_port)
    set_inner(record, row.inner_high, row.inner_low, inner_port(row, packet.destination_port + 0))
    return FORWARD
