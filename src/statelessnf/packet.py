"""What a network function sees of a packet, and what it can answer.

`PACKET` mirrors `PacketRecord` of engine/packet.hpp byte by byte (a test compares them). Everything here works in both
forms of a function, compiled and plain. Verdicts are integers: the low byte says which, the next byte of a DROP is an
index into the function's own drop reasons plus one (0: `denied`). Effects are carried out by the engine after the
commit that the packet caused; those of a run that is repeated or that failed are void.
"""

from typing import Any

import numpy as np

DROP, FORWARD, PARK = 0, 1, 2

OUTBOUND, INBOUND = 0, 1
ORDINARY, ICMP_ERROR, FRAGMENT = 0, 1, 2  # packet.kind
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32  # packet.tcp_flags (RFC 9293 §3.1)
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132  # packet.protocol
NO_WINDOW_SCALE = 255  # packet.window_scale of a segment without the option

MAX_EFFECTS = 4
REJECT, EVENT, COUNT = 1, 2, 3  # top byte of an effect

MAX_DROP_REASONS = 16  # function_drop_count in engine/stats.hpp
MAX_COUNTERS = 4096  # function_counter_count in engine/stats.hpp

PACKET = np.dtype(
    [
        ("source_high", "<u8"),
        ("source_low", "<u8"),
        ("destination_high", "<u8"),
        ("destination_low", "<u8"),
        ("now", "<u8"),
        ("flow_hash", "<u8"),
        ("sequence", "<u4"),
        ("acknowledgement", "<u4"),
        ("sack", "<u4"),
        ("payload_length", "<u4"),
        ("frame_length", "<u4"),
        ("effects", "<u4", (MAX_EFFECTS,)),
        ("source_port", "<u2"),
        ("destination_port", "<u2"),
        ("window", "<u2"),
        ("mss", "<u2"),
        ("vlan", "<u2"),
        ("version", "u1"),
        ("protocol", "u1"),
        ("tcp_flags", "u1"),
        ("direction", "u1"),
        ("icmp_type", "u1"),
        ("icmp_code", "u1"),
        ("window_scale", "u1"),
        ("kind", "u1"),
        ("from_low", "u1"),
        ("attempt", "u1"),
        ("effect_count", "u1"),
        ("direct", "u1"),
        ("reserved", "u1", (4,)),
        ("ttl", "<u2"),
        ("reserved2", "<u2"),
    ],
    align=True,
)


def drop_as(index: int) -> int:
    """The verdict DROP, counted under `drop_reasons[index]`. An index without a reason is a fault of the function."""
    return DROP | (index + 1) << 8


def effect(packet: Any, kind: int, argument: int) -> bool:
    """Append an effect (argument: 24 bits) to the packet's list; False, and nothing done, if all four are taken."""
    taken = packet.effect_count
    if taken >= MAX_EFFECTS:
        return False
    packet.effects[taken] = kind << 24 | argument & 0xFFFFFF
    packet.effect_count = taken + 1
    return True


def reject(packet: Any) -> bool:
    """Answer the sender: RST for TCP, ICMP unreachable otherwise (RFC 9293 §3.10.7.1, RFC 1122 §3.2.2.1)."""
    return effect(packet, REJECT, 0)


def prohibit(packet: Any) -> bool:
    """Tell the sender that its flow may not begin: ICMP administratively prohibited, also for TCP (RFC 5508 REQ-8)."""
    return effect(packet, REJECT, 1)


def event(packet: Any, code: int, value: int) -> bool:
    """A log line: `code` is an index into the function's `events` (0..255), `value` an integer (16 bits) with it."""
    return effect(packet, EVENT, (code & 0xFF) << 16 | value & 0xFFFF)


def count(packet: Any, index: int) -> bool:
    """Add one to the function's counter `index` (below MAX_COUNTERS; others are ignored by the engine)."""
    return effect(packet, COUNT, index)
