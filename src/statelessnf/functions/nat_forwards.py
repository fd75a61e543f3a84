"""Static port forwards: who stands behind an external endpoint, looked up in the rows that the configuration gives.

A row maps a range of external ports of one address to as many inner ports; forwards are few, and only packets without
a record ask (those of hairpin sessions always).
"""

from typing import Any

import numpy as np

FORWARD_ROW = np.dtype(
    [
        ("outer_high", "<u8"),
        ("outer_low", "<u8"),
        ("inner_high", "<u8"),
        ("inner_low", "<u8"),
        ("id", "<u4"),  # says the same as the other fields, never 0: what a record keeps
        ("address", "<u4"),  # number of the outer address within the pool of its family
        ("outer_first", "<u2"),
        ("outer_last", "<u2"),
        ("inner_first", "<u2"),
        ("protocol", "u1"),
        ("version", "u1"),
    ]
)


def forward_to(packet: Any, tables: Any) -> int:
    """The forward to which the packet is addressed, -1: none."""
    port = packet.destination_port + 0
    for i in range(len(tables.forwards)):
        row = tables.forwards[i]
        if row.protocol != packet.protocol or row.version != packet.version:
            continue
        if row.outer_high != packet.destination_high or row.outer_low != packet.destination_low:
            continue
        if row.outer_first <= port <= row.outer_last:
            return i
    return -1


def forward_of(packet: Any, tables: Any) -> int:
    """The first forward that leads to the packet's sender, -1: none."""
    port = packet.source_port + 0
    for i in range(len(tables.forwards)):
        row = tables.forwards[i]
        if row.protocol != packet.protocol or row.version != packet.version:
            continue
        if row.inner_high != packet.source_high or row.inner_low != packet.source_low:
            continue
        if row.inner_first <= port <= row.inner_first + row.outer_last - row.outer_first:
            return i
    return -1


def forward_by_id(record: Any, tables: Any) -> int:
    """The forward of a hairpin session, -1: it has been taken out of the configuration."""
    for i in range(len(tables.forwards)):
        if tables.forwards[i].id == record.forward:
            return i
    return -1


def is_forwarded(packet: Any, tables: Any, address: int, port: int) -> bool:
    """A forward owns this port of the pool's address number `address`: no session may be given it."""
    for i in range(len(tables.forwards)):
        row = tables.forwards[i]
        same = row.address == address and row.protocol == packet.protocol and row.version == packet.version
        if same and row.outer_first <= port <= row.outer_last:
            return True
    return False


def inner_port(row: Any, port: int) -> int:
    """Behind port `port` of the forward."""
    return int(port + row.inner_first + 65536 - row.outer_first) & 0xFFFF


def outer_port(row: Any, port: int) -> int:
    """In front of the inner port `port` of the forward."""
    return int(port + row.outer_first + 65536 - row.inner_first) & 0xFFFF
