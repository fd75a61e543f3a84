"""Network address and port translation (Algorithm 5 of the paper): inner hosts share a pool of external addresses.

`process` is the paper's procedure. The engine has read the mapping (`record`) of the packet's 5-tuple. Without one, an
external address and port are selected, and the engine writes the mapping under both 5-tuples, that of the packet and
that of the packet as rewritten, or under none of them: if another session has the second, `process` runs again with the
next candidate. So no list of free ports is read or written, and no two sessions share a mapping. Then the header is
rewritten and the packet is sent. A dropped packet changes nothing; data and acknowledgements leave the record alone.

What the record's two keys hold of the remote endpoint is the filtering (docs/decisions/nat-mappings.md).
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from statelessnf.function import Function
from statelessnf.functions.nat_addresses import endpoint_text
from statelessnf.functions.nat_config import NatConfig
from statelessnf.functions.nat_forwards import forward_by_id
from statelessnf.functions.nat_opening import (
    FILTERED,
    NO_MAPPING,
    NOT_OPENING,
    NOT_TRANSLATED,
    PROTOCOL_NOT_TRANSLATED,
    family_of,
    open_inbound,
    open_outbound,
)
from statelessnf.functions.nat_sessions import NONE, first_state, follow_segment, timeout_rows
from statelessnf.functions.nat_tables import TABLE_TYPES, nat_tables
from statelessnf.functions.nat_ways import ASTRAY, LEAVES, rewrite, rewrite_far, way_of
from statelessnf.functions.opening import may_open
from statelessnf.functions.queries import ask, belongs, is_request
from statelessnf.networks import Network
from statelessnf.packet import FORWARD, ICMP, ICMPV6, ORDINARY, OUTBOUND, SYN, TCP, UDP, drop_as, event

MAPPING_CREATED = 0  # events


def open_session(packet: Any, record: Any, tables: Any) -> int:
    """Lines 5 to 11 of the paper's procedure; the engine writes both keys."""
    outbound = packet.direction == OUTBOUND
    if packet.kind != ORDINARY:
        return drop_as(NO_MAPPING)
    if packet.protocol not in (TCP, UDP, ICMP, ICMPV6):
        return drop_as(PROTOCOL_NOT_TRANSLATED)
    if not may_open(packet):
        return drop_as(NOT_OPENING if outbound else NO_MAPPING)
    verdict = open_outbound(packet, record, tables) if outbound else open_inbound(packet, record, tables)
    if verdict == FORWARD:
        record.state = first_state(packet.protocol)
        if tables.settings[0].log:
            event(packet, MAPPING_CREATED, record.outer_port)
    return verdict


def follow(packet: Any, record: Any, side: int) -> int:
    """An ordinary packet of a session that exists (or begins), from side 0: the record's own, or 1."""
    if packet.protocol == TCP:
        follow_segment(packet, record, side)
    elif packet.protocol in (ICMP, ICMPV6) and not belongs(packet, record, side):
        if side or not is_request(packet.icmp_type):
            return drop_as(FILTERED)
        ask(packet, record, side)
    return FORWARD


def translate(packet: Any, record: Any, tables: Any, way: int, far: int) -> None:
    """Line 12. `far`: the forward behind which the other side of a hairpin session stands, else -1."""
    if far >= 0:
        rewrite_far(packet, tables.forwards[far], way)
    rewrite(packet, record, way)
    if packet.tcp_flags & SYN:
        limit = tables.families[family_of(packet)].mss
        if limit:
            packet.mss = min(packet.mss, limit)


class Nat(Function):
    """See the top of this file; docs/decisions/nat-mappings.md on what of RFC 4787 holds when."""

    name = "nat"
    Config = NatConfig
    rewrites = True
    record = np.dtype(
        [
            ("state", "u1"),  # nat_sessions.OPENING ...
            ("flags", "u1"),  # what has been seen of each side (nat_sessions); ICMP: who has asked (queries)
            ("noted", "u1"),  # ICMP: type of the request
            ("inner_port", "<u2"),
            ("outer_port", "<u2"),
            ("forward", "<u4"),  # hairpin: the other side stands behind the forward with this id; 0: it is outside
            ("inner_high", "<u8"),  # the endpoint that is hidden, and the one that stands for it
            ("inner_low", "<u8"),
            ("outer_high", "<u8"),
            ("outer_low", "<u8"),
        ]
    )
    keyed = ("forward", "inner_port", "inner_high", "inner_low", "outer_port", "outer_high", "outer_low")
    drop_reasons = (
        "no_mapping",  # inbound: nobody asked for it; or an ICMP error or a fragment of no session
        "no_port_left",
        "filtered",  # an ICMP message that does not answer the session's request
        "not_translated",  # a source that is no subscriber, an address on the wrong side, a forward that is gone
        "not_opening",  # outbound: of no session, and no SYN or request
        "protocol_not_translated",
    )
    events = ("mapping_created",)
    table_types: ClassVar = TABLE_TYPES

    @staticmethod
    def tables(config: Any) -> Mapping[str, np.ndarray[Any, Any]]:
        return nat_tables(config)

    @staticmethod
    def owned(config: Any) -> list[Network]:
        """External addresses, for which every instance answers."""
        return [network for pool in config.pool for span in pool.addresses for network in span.networks()]

    @staticmethod
    def shortest_life(config: Any) -> int | None:
        return int(timeout_rows(config.timeouts)["milliseconds"][1:].min())

    @staticmethod
    def timed(config: Any) -> bool:
        return bool(config.log)  # so that the end of a mapping is logged, too

    @staticmethod
    def describe(record: Any) -> dict[str, Any]:
        return {end: endpoint_text(record, end) for end in ("inner", "outer")}

    @staticmethod
    def process(packet: Any, record: Any, tables: Any) -> int:
        if record.state == NONE:
            verdict = open_session(packet, record, tables)
            if verdict != FORWARD:
                return verdict
        way, far = way_of(packet, record), forward_by_id(record, tables) if record.forward else -1
        if way == ASTRAY or (record.forward and far < 0):
            return drop_as(NOT_TRANSLATED)
        if packet.kind == ORDINARY:  # ICMP errors and later fragments never change the record (RFC 5508 REQ-6)
            verdict = follow(packet, record, 0 if way == LEAVES else 1)
            if verdict != FORWARD:
                return verdict
        translate(packet, record, tables, way, far)
        return FORWARD

    @staticmethod
    def lifetime(record: Any, tables: Any) -> int:
        milliseconds: int = tables.timeouts[record.state].milliseconds + 0
        return milliseconds
