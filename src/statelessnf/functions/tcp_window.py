"""The sequence window of a TCP flow, kept coarse: what a segment may be, and when the record has to follow.

For each side (0: who opened the flow) the record holds, as Linux conntrack does (van Rooij, "Real Stateful TCP Packet
Filtering in IP Filter"): `end`, the highest sequence number sent; `limit`, the highest that the peer allows; `window`,
the largest one it announced. The record would change with each packet, so it may lag behind by `slack` bytes. What is
guaranteed: end <= true end <= end + slack, and the same for `limit`. So no segment that an exact window lets pass is
refused, and one is let pass wrongly by at most `slack` bytes. `slack` grows fourfold where moves come faster than four
a second, up to 512 MB, and never shrinks: the true window may be that far ahead of the record. With slack 0 the window
is conntrack's own.
"""

from typing import Any

from statelessnf.packet import ACK, FIN, NO_WINDOW_SCALE, RST, SYN
from statelessnf.sequence import add32, elapsed32, seq_lt, seq_max, sub32

OUTSIDE, STALE, OVERSHOT, INSIDE = 0, 1, 2, 3  # places of a segment

FIRST_SLACK, LAST_SLACK = 18, 29  # log2 of bytes
BUSY_MS = 250  # moves that come faster widen the slack
ACK_WINDOW = 66000  # bytes that an acknowledgement may be behind (MAXACKWINCONST of conntrack)
MAX_SCALE = 14  # RFC 7323 §2.3


def segment_end(packet: Any) -> int:
    """Sequence number behind the segment; SYN and FIN count one each (RFC 9293 §3.4)."""
    flags = packet.tcp_flags
    return add32(packet.sequence, packet.payload_length + (1 if flags & SYN else 0) + (1 if flags & FIN else 0))


def elapsed(packet: Any, record: Any) -> int:
    """Milliseconds since the record's last change of note, modulo 2^32."""
    return elapsed32(packet.now + 0, record.changed)


def touch(packet: Any, record: Any) -> None:
    record.changed = add32(packet.now + 0, 0)


def open_side(packet: Any, record: Any, side: int) -> None:
    """Begin the window of one side with its SYN or SYN/ACK."""
    end = segment_end(packet)
    record.end[side] = end
    record.limit[side] = end
    record.window[side] = max(packet.window, 1)
    scale = packet.window_scale
    record.scales[side] = scale if scale == NO_WINDOW_SCALE else min(scale, MAX_SCALE)
    if side == 1 and (record.scales[0] == NO_WINDOW_SCALE or record.scales[1] == NO_WINDOW_SCALE):
        record.scales[0] = NO_WINDOW_SCALE  # both have to offer scaling (RFC 7323 §2.2)
        record.scales[1] = NO_WINDOW_SCALE


def acknowledged(packet: Any, record: Any, side: int) -> int:
    """Highest number that the segment acknowledges, SACK included; without one (or 0 in a RST): taken as right."""
    flags = packet.tcp_flags
    if not flags & ACK or (flags & RST and packet.acknowledgement == 0):
        return add32(record.end[1 - side], 0)
    return seq_max(packet.acknowledgement, packet.sack)


def _place_of_acknowledgement(packet: Any, record: Any, side: int, slack: int) -> int:
    ack, sent = acknowledged(packet, record, side), record.end[1 - side]
    if seq_lt(add32(sent, slack), ack):
        return OUTSIDE  # acknowledges what was never sent
    return STALE if seq_lt(ack, sub32(sent, max(record.window[side], ACK_WINDOW))) else INSIDE


def place(packet: Any, record: Any, side: int, slack: int, opens: bool) -> int:
    """Where a segment of `side` lies, for a record that may lag by `slack` bytes. Conntrack's four conditions.

    `opens`: the segment's own numbers say nothing yet, as its side has none in the record, or begins anew.
    """
    where = _place_of_acknowledgement(packet, record, side, slack)
    if where == OUTSIDE or opens:
        return where
    end, peer_window = segment_end(packet), record.window[1 - side]
    if peer_window != 0 and seq_lt(end, sub32(record.end[side], peer_window)):
        where = STALE
    limit = add32(record.limit[side], slack)
    if not seq_lt(limit, packet.sequence):
        return where
    # Some senders overshoot: what lies within one more window may pass.
    return OVERSHOT if where == INSIDE and sub32(end, limit) < peer_window else OUTSIDE


def announced(packet: Any, record: Any, side: int) -> int:
    """The segment's window in bytes; that of a SYN is never scaled (RFC 7323 §2.2)."""
    scale = 0 if packet.tcp_flags & SYN or record.scales[side] == NO_WINDOW_SCALE else record.scales[side]
    return add32(packet.window << min(scale, MAX_SCALE), 0)


def reach(packet: Any, record: Any, side: int) -> int:
    """Up to where the segment allows its receiver to send; one byte more for a closed window (probes)."""
    return add32(acknowledged(packet, record, side), max(announced(packet, record, side), 1))


def moves(packet: Any, record: Any, side: int, slack: int) -> bool:
    """True if the record would lag by more than `slack` once the segment has passed."""
    if seq_lt(add32(record.end[side], slack), segment_end(packet)):
        return True
    peer = 1 - side
    return bool(record.window[peer] != 0 and seq_lt(add32(record.limit[peer], slack), reach(packet, record, side)))


def fold(packet: Any, record: Any, side: int, coarse: bool) -> None:
    """Bring the record up to what the segment (INSIDE) says. The caller knows that the record has to change."""
    peer, end = 1 - side, segment_end(packet)
    ack = acknowledged(packet, record, side)
    sacked = sub32(ack, packet.acknowledgement) if packet.tcp_flags & ACK else 0
    limit = reach(packet, record, side)
    record.window[side] = max(record.window[side], announced(packet, record, side) + sacked)
    record.end[side] = seq_max(record.end[side], end)
    record.limit[peer] = seq_max(record.limit[peer], limit)
    if record.window[peer] == 0 or not seq_lt(record.limit[side], end):
        return
    if coarse:  # so that data and its acknowledgement do not both move the record
        record.limit[side] = end
    else:
        record.window[peer] += sub32(end, record.limit[side])


def widen(packet: Any, record: Any) -> None:
    """A move of an established flow: slack for at most four a second."""
    if elapsed(packet, record) < BUSY_MS:
        record.slack = min(record.slack + 2, LAST_SLACK)
    touch(packet, record)
