"""TCP connection tracking in the manner of Linux conntrack with nf_conntrack_tcp_loose=0 and tcp_be_liberal=0.

`track` takes a segment of a known flow, moves the record, and says whether the segment may pass. It keeps conntrack's
states and their meaning; where it differs on purpose (docs/tcp-tracking.md), it is so that data and acknowledgements of
an established flow leave the record as it is: each change costs a commit. Side 0 sent the SYN that opened the flow.
"""

from typing import Any

from statelessnf.functions.tcp_reset import reset, trusted_again
from statelessnf.functions.tcp_states import (
    DOUBTED,
    ESTABLISHED,
    FIRST_LOW,
    IGNORE,
    INVALID,
    LAST_ACK,
    NOTED_ACK,
    NOTED_SYN,
    REPLIED,
    REVIVED,
    SEGMENT_ACK,
    SEGMENT_RST,
    SEGMENT_SYN,
    SIMULTANEOUS,
    SYN_RECV,
    SYN_SENT,
    SYN_SENT2,
    TIME_WAIT,
    next_state,
    segment_of,
    slack_of,
)
from statelessnf.functions.tcp_window import (
    FIRST_SLACK,
    INSIDE,
    OUTSIDE,
    OVERSHOT,
    fold,
    moves,
    open_side,
    place,
    segment_end,
    touch,
    widen,
)
from statelessnf.packet import ACK, FIN, RST, SYN
from statelessnf.sequence import add32, seq_lt

# Answers of `track`
PASS, OPENS, BAD_FLAGS, BAD_STATE, BAD_WINDOW = range(5)  # OPENS: a SYN that begins a new connection on an ended one


def begin(packet: Any, record: Any) -> None:
    """A SYN opens the flow; `record` is all zero but for what the caller owns."""
    record.state = SYN_SENT
    record.slack = FIRST_SLACK
    touch(packet, record)
    open_side(packet, record, 0)


def is_settled(packet: Any, record: Any, side: int) -> bool:
    """Nearly every segment: of an established flow, inside of the window, telling nothing that is worth a commit.

    `track` would let it pass and leave the record as it is.
    """
    if record.state != ESTABLISHED or record.flags & (NOTED_SYN | NOTED_ACK | DOUBTED | REVIVED):
        return False
    if packet.tcp_flags & (FIN | SYN | RST | ACK) != ACK:
        return False
    slack = slack_of(record)
    return bool(place(packet, record, side, slack, False) == INSIDE and not moves(packet, record, side, slack))


def track(packet: Any, record: Any, side: int) -> int:
    """Take one segment of a flow. Changes `record` only where the answer is PASS."""
    segment = segment_of(packet.tcp_flags)
    if segment < 0:
        return BAD_FLAGS
    state = record.state
    if state > SYN_SENT2:
        return BAD_STATE
    following = next_state(side, segment, state)
    if following == INVALID:
        return BAD_STATE
    if following == SYN_SENT and state != SYN_SENT:
        return OPENS
    if following == IGNORE:
        return _ignored(packet, record, side, segment)
    if segment == SEGMENT_RST:
        return PASS if reset(packet, record, side) else BAD_WINDOW
    return _follow(packet, record, side, _adjusted(record, side, segment, following))


def _adjusted(record: Any, side: int, segment: int, following: int) -> int:
    """What the table cannot say."""
    flags = record.flags
    if following == SYN_RECV and side == 1 and segment == SEGMENT_ACK and flags & SIMULTANEOUS:
        return ESTABLISHED
    if following == TIME_WAIT and record.state == LAST_ACK and side == 1 and flags & NOTED_SYN:
        return LAST_ACK  # a challenge ACK that answers the SYN (RFC 5961 §4), not the last one
    return following


def _note(packet: Any, record: Any, kind: int, value: int) -> None:
    record.flags = record.flags & ~(NOTED_SYN | NOTED_ACK) | kind
    record.noted = value
    record.noted_window = packet.window if kind == NOTED_SYN else 0
    record.noted_scale = packet.window_scale if kind == NOTED_SYN else 0


def _ignored(packet: Any, record: Any, side: int, segment: int) -> int:
    """Pass, since its receiver knows better; note what tells later whether we were out of step."""
    if segment == SEGMENT_SYN:
        _note(packet, record, NOTED_SYN, segment_end(packet))
    elif segment == SEGMENT_ACK:  # perhaps an old half-open connection of the server's
        record.flags = record.flags | REPLIED
        _note(packet, record, NOTED_ACK, packet.acknowledgement)
    elif side == 1 and record.flags & NOTED_SYN and packet.acknowledgement == record.noted:
        return _resynchronize(packet, record, side)
    elif record.flags & (NOTED_SYN | NOTED_ACK):
        _note(packet, record, 0, 0)
    return PASS


def _resynchronize(packet: Any, record: Any, side: int) -> int:
    """The SYN/ACK answers the noted SYN: the ends have opened a new connection, and we follow."""
    record.state = SYN_SENT
    record.slack = FIRST_SLACK
    record.end[0] = record.noted
    record.limit[0] = record.noted
    record.window[0] = max(record.noted_window, 1)
    record.scales[0] = record.noted_scale
    record.window[side] = 0
    record.flags = record.flags & (FIRST_LOW | REPLIED)
    touch(packet, record)
    return _follow(packet, record, side, SYN_RECV)


def _opens_side(packet: Any, record: Any, side: int) -> bool:
    """First SYN of a side, or one with a newer number before the flow is established (RFC 9293 §3.4.3)."""
    if not packet.tcp_flags & SYN:
        return False
    newer = seq_lt(record.end[side], segment_end(packet))
    return bool(record.window[side] == 0 or (newer and record.state in (SYN_SENT, SYN_RECV)))


def _follow(packet: Any, record: Any, side: int, following: int) -> int:
    """Hold the segment against the window; if it lies inside, take over what it says, where that is worth a commit."""
    slack, opens = slack_of(record), _opens_side(packet, record, side)
    where = place(packet, record, side, slack, opens)
    if where == OUTSIDE:
        return BAD_WINDOW
    if where == INSIDE:
        _take(packet, record, side, following, opens)
    elif where == OVERSHOT and seq_lt(add32(record.end[side], slack), segment_end(packet)):
        record.end[side] = segment_end(packet)  # so that its acknowledgement may pass
        widen(packet, record)
    return PASS


def _take(packet: Any, record: Any, side: int, following: int, opens: bool) -> None:
    revived = trusted_again(packet, record)
    if opens:
        open_side(packet, record, side)
    slack, flags = slack_of(record), record.flags
    moved = moves(packet, record, side, slack)
    if not (opens or moved or revived or following != record.state or flags & (NOTED_SYN | NOTED_ACK)):
        return
    fold(packet, record, side, slack != 0)
    if moved and slack != 0:
        widen(packet, record)
    flags = flags & ~(NOTED_SYN | NOTED_ACK) | (REPLIED if side == 1 else 0)
    record.flags = flags | (SIMULTANEOUS if following == SYN_SENT2 else 0)
    record.state = following
