"""The two addresses of a balanced flow besides the client's: the virtual one and the server's, and how one becomes the
other in a packet.

Virtual address and server stand in the record. For an ICMP error the packet's addresses are those of the packet that it
quotes, and it travels the other way; rewriting them rewrites the quote, and the outer header with it (RFC 5508 §4).
"""

from typing import Any

from statelessnf.functions.connection import DIRECT

ELSEWHERE, TO_VIRTUAL, FROM_VIRTUAL, TO_SERVER, FROM_SERVER = range(5)


def end_of(packet: Any, record: Any) -> int:
    """Which end of the packet is one of the flow's own."""
    if _is_destination(packet, record.virtual_high, record.virtual_low, record.virtual_port):
        return TO_VIRTUAL
    if _is_source(packet, record.server_high, record.server_low, record.server_port):
        return FROM_SERVER
    if _is_source(packet, record.virtual_high, record.virtual_low, record.virtual_port):
        return FROM_VIRTUAL
    if _is_destination(packet, record.server_high, record.server_low, record.server_port):
        return TO_SERVER
    return ELSEWHERE


def _is_source(packet: Any, high: int, low: int, port: int) -> bool:
    return bool(packet.source_high == high and packet.source_low == low and packet.source_port == port)


def _is_destination(packet: Any, high: int, low: int, port: int) -> bool:
    same = packet.destination_high == high and packet.destination_low == low
    return bool(same and packet.destination_port == port)


def keep_virtual(packet: Any, record: Any) -> None:
    """The packet's destination is the flow's virtual address."""
    record.virtual_high = packet.destination_high
    record.virtual_low = packet.destination_low
    record.virtual_port = packet.destination_port


def give_to(record: Any, tables: Any, place: int) -> None:
    """The flow belongs to the server at `place` of the table from now on."""
    port = tables.servers[place].port
    record.server = tables.servers[place].id
    record.server_high = tables.servers[place].high
    record.server_low = tables.servers[place].low
    record.server_port = port if port and not record.flags & DIRECT else record.virtual_port


def to_server(packet: Any, record: Any) -> None:
    """Rewrite the packet's destination, or (mode `direct`) only say where its frame goes."""
    packet.direct = record.flags & DIRECT
    packet.destination_high = record.server_high
    packet.destination_low = record.server_low
    packet.destination_port = record.server_port


def to_client(packet: Any, record: Any) -> None:
    """What a server answers comes from the virtual address."""
    packet.source_high = record.virtual_high
    packet.source_low = record.virtual_low
    packet.source_port = record.virtual_port


def error_to_server(packet: Any, record: Any) -> None:
    """The quoted packet was sent by the server, in the name of the virtual address."""
    if record.flags & DIRECT:
        return to_server(packet, record)
    packet.source_high = record.server_high
    packet.source_low = record.server_low
    packet.source_port = record.server_port
    return None


def error_to_client(packet: Any, record: Any) -> None:
    """The quoted packet was sent by the client, to the virtual address."""
    packet.destination_high = record.virtual_high
    packet.destination_low = record.virtual_low
    packet.destination_port = record.virtual_port
