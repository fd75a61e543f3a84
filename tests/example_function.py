"""A small network function for tests: a pinhole for TCP and UDP. What goes out may be answered for a while."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from statelessnf.function import Function, classify
from statelessnf.packet import ACK, FORWARD, OUTBOUND, RST, SYN, TCP, UDP, count, drop_as, event, reject
from statelessnf.sequence import seq_lt, seq_max

NEW, OPEN = 0, 1
NO_FLOW, PROTOCOL, RULE, BEHIND = range(4)


def timeout(tables: Any, protocol: int) -> int:
    """Milliseconds from the first row for `protocol`, by the last row otherwise."""
    for i in range(len(tables.timeouts)):
        if tables.timeouts[i].protocol == protocol:
            return int(tables.timeouts[i].milliseconds)
    return int(tables.timeouts[-1].milliseconds)


class Pinhole(Function):
    name = "pinhole"
    record = np.dtype(
        [("state", "u1"), ("protocol", "u1"), ("highest", "<u4"), ("closing", "u1"), ("ports", "<u2", (2,))]
    )
    drop_reasons = ("no_flow", "protocol", "rule", "behind")
    events = ("opened",)
    table_types: ClassVar = {"timeouts": np.dtype([("protocol", "u1"), ("milliseconds", "<u4")])}

    class Config(BaseModel, extra="forbid"):
        tcp_ms: int = 300_000
        udp_ms: int = 30_000

    @staticmethod
    def tables(config: Any) -> Mapping[str, np.ndarray[Any, Any]]:
        rows = [(TCP, config.tcp_ms), (UDP, config.udp_ms)]
        return {"timeouts": np.array(rows, dtype=Pinhole.table_types["timeouts"])}

    @staticmethod
    def process(packet: Any, record: Any, tables: Any) -> int:
        if packet.protocol not in (TCP, UDP):
            return drop_as(PROTOCOL)
        if record.state == NEW:
            if packet.direction != OUTBOUND or (packet.protocol == TCP and packet.tcp_flags & (SYN | ACK) != SYN):
                reject(packet)
                return drop_as(NO_FLOW)
            if classify(tables.services, packet) == 0:
                return drop_as(RULE)
            record.state, record.protocol, record.highest = OPEN, packet.protocol, packet.sequence
            event(packet, 0, packet.destination_port + 1)
        record.ports[packet.direction] = packet.source_port  # a direction above 1 is a fault
        if packet.protocol == TCP:
            if seq_lt(packet.sequence, record.highest - 0x10000):
                return drop_as(BEHIND)
            record.highest = seq_max(record.highest, packet.sequence)
            record.closing |= packet.tcp_flags & RST
        count(packet, record.state + packet.window)
        return FORWARD

    @staticmethod
    def lifetime(record: Any, tables: Any) -> int:
        return 1_000 if record.closing else timeout(tables, record.protocol)
