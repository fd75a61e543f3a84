"""TCP connection tracking in the manner of Linux conntrack with nf_conntrack_tcp_loose=0 and tcp_be_liberal=0.

`track` takes a segment of a known flow, moves the record, and says whether the segment may pass. It keeps conntrack's
states and their meaning; where it differs on purpose (docs/tcp-tracking.md), it is so that data and acknowledgements of
an established flow leave the record as it is: each change costs a commit. Side 0 sent the SYN that opened the flow.
"""

from typing import Any

from statelessnf.functions.tcp_window import (
    FIRST_SLACK,
    INSIDE,
    LAST_SLACK,
    OUTSIDE,
    OVERSHOT,
    elapsed,
    fold,
    moves,
    open_side,
    place,
    segment_end,
    touch,
    widen,
)
from statelessnf.packet import ACK, FIN, RST, SYN, URG
from statelessnf.sequence import add32, seq_lt, sub32

NONE, SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT, LAST_ACK, TIME_WAIT, CLOSE, SYN_SENT2 = range(9)
INVALID, IGNORE = 14, 15  # in the table only: refuse; let pass although we may be out of step

SEGMENT_SYN, SEGMENT_SYNACK, SEGMENT_FIN, SEGMENT_ACK, SEGMENT_RST = range(5)

# Answers of `track`
PASS, OPENS, BAD_FLAGS, BAD_STATE, BAD_WINDOW = range(5)  # OPENS: a SYN that begins a new connection on an ended one

# record.flags
FIRST_LOW = 1  # side 0 is the lower endpoint of the flow key
REPLIED = 2  # side 1 has answered
SIMULTANEOUS = 4  # both sides sent a SYN (RFC 9293 §3.5)
DOUBTED = 8  # a RST has passed of which we cannot know that its sequence number is right
REVIVED = 16  # traffic went on after that
NOTED_SYN = 32  # `noted`: end of a SYN of side 0 that passed although the flow is open
NOTED_ACK = 64  # `noted`: what an ACK of side 1 acknowledged that passed in SYN_SENT

REVIVAL_MS = 10_000  # a revived flow is as good as any other, or may be doubted again, after this time

_NAMES = {"SS": SYN_SENT, "SR": SYN_RECV, "ES": ESTABLISHED, "FW": FIN_WAIT, "LA": LAST_ACK, "TW": TIME_WAIT}
_NAMES |= {"CL": CLOSE, "S2": SYN_SENT2, "--": INVALID, "ig": IGNORE}

_TRANSITIONS = (
    (  # from side 0, in state
        # NONE SS SR ES FW LA TW CL S2
        "-- SS ig ig ig ig SS SS S2",  # SYN: retransmitted, ignored, re-opens
        "-- -- SR -- -- -- -- -- SR",  # SYN/ACK: only in a simultaneous open
        "-- -- FW FW LA LA TW CL --",  # FIN
        "-- -- ES ES FW TW TW CL --",  # ACK
        "-- CL CL CL CL CL CL CL CL",  # RST
    ),
    (  # from side 1
        # NONE SS SR ES FW LA TW CL S2
        "-- S2 -- -- -- -- SS -- S2",  # SYN: simultaneous open; opens the other way round
        "-- SR ig ig ig ig ig ig SR",  # SYN/ACK
        "-- -- FW FW LA LA TW CL --",  # FIN
        "-- ig SR ES FW TW TW CL ig",  # ACK
        "-- CL CL CL CL CL CL CL CL",  # RST
    ),
)
# One number for each row, four bits for each state: compiled functions know tuples of numbers.
_ROWS = tuple(sum(_NAMES[name] << 4 * i for i, name in enumerate(row.split())) for side in _TRANSITIONS for row in side)

_COUNTED_FLAGS = FIN | SYN | RST | ACK | URG
_VALID = (SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG)
VALID_FLAGS = sum(1 << flags for flags in _VALID)  # a set of flag combinations as bits


def segment_of(tcp_flags: int) -> int:
    """Which row of the table; -1: a combination of flags that no TCP sends."""
    flags = int(tcp_flags) & _COUNTED_FLAGS
    if not VALID_FLAGS >> flags & 1:
        return -1
    if flags & RST:
        return SEGMENT_RST
    if flags & SYN:
        return SEGMENT_SYNACK if flags & ACK else SEGMENT_SYN
    return SEGMENT_FIN if flags & FIN else SEGMENT_ACK


def next_state(side: int, segment: int, state: int) -> int:
    """Where a segment leads by the table alone, or INVALID, or IGNORE."""
    return int(_ROWS[side * 5 + segment] >> 4 * state & 15)


def begin(packet: Any, record: Any) -> None:
    """A SYN opens the flow; `record` is all zero but for what the caller owns."""
    record.state = SYN_SENT
    record.slack = FIRST_SLACK
    touch(packet, record)
    open_side(packet, record, 0)


def slack_of(record: Any) -> int:
    """Bytes by which the record may lag; none before the flow is established: there each segment counts."""
    early = record.state in (SYN_SENT, SYN_RECV, SYN_SENT2)
    return 0 if early else 1 << min(int(record.slack), LAST_SLACK)


def is_over(record: Any) -> bool:
    """Refused before side 1 had answered: for conntrack there is no flow any more."""
    return bool(record.state == CLOSE and not record.flags & REPLIED)


def is_exact_reset(packet: Any, record: Any, side: int) -> bool:
    """The RST certainly has the number that its receiver expects (RFC 9293 §3.5.3, RFC 5961 §3.2)."""
    if record.window[side] == 0:  # has not opened its side
        return bool(packet.tcp_flags & ACK and packet.acknowledgement == record.end[0])
    return bool(packet.sequence == record.end[side])


def track(packet: Any, record: Any, side: int) -> int:
    """Take one segment of a flow. Changes `record` only where the answer is PASS."""
    segment = segment_of(packet.tcp_flags)
    if segment < 0:
        return BAD_FLAGS
    state = int(record.state)
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
        return _reset(packet, record, side)
    return _follow(packet, record, side, _adjusted(record, side, segment, following))


def _adjusted(record: Any, side: int, segment: int, following: int) -> int:
    """What the table cannot say."""
    flags = int(record.flags)
    if following == SYN_RECV and side == 1 and segment == SEGMENT_ACK and flags & SIMULTANEOUS:
        return ESTABLISHED
    if following == TIME_WAIT and record.state == LAST_ACK and side == 1 and flags & NOTED_SYN:
        return LAST_ACK  # a challenge ACK that answers the SYN (RFC 5961 §4), not the last one
    return following


def _note(packet: Any, record: Any, kind: int, value: int) -> None:
    record.flags = int(record.flags) & ~(NOTED_SYN | NOTED_ACK) | kind
    record.noted = value
    record.noted_window = packet.window if kind == NOTED_SYN else 0
    record.noted_scale = packet.window_scale if kind == NOTED_SYN else 0


def _ignored(packet: Any, record: Any, side: int, segment: int) -> int:
    """Pass, since its receiver knows better; note what tells later whether we were out of step."""
    if segment == SEGMENT_SYN:
        _note(packet, record, NOTED_SYN, segment_end(packet))
    elif segment == SEGMENT_ACK:  # perhaps an old half-open connection of the server's
        record.flags = int(record.flags) | REPLIED
        _note(packet, record, NOTED_ACK, int(packet.acknowledgement))
    elif side == 1 and record.flags & NOTED_SYN and packet.acknowledgement == record.noted:
        return _resynchronize(packet, record)
    elif record.flags & (NOTED_SYN | NOTED_ACK):
        _note(packet, record, 0, 0)
    return PASS


def _resynchronize(packet: Any, record: Any) -> int:
    """The SYN/ACK answers the noted SYN: the ends have opened a new connection, and we follow."""
    record.state = SYN_SENT
    record.slack = FIRST_SLACK
    record.end[0] = record.noted
    record.limit[0] = record.noted
    record.window[0] = max(int(record.noted_window), 1)
    record.scales[0] = record.noted_scale
    record.window[1] = 0
    record.flags = int(record.flags) & (FIRST_LOW | REPLIED)
    touch(packet, record)
    return _follow(packet, record, 1, SYN_RECV)


def _reset(packet: Any, record: Any, side: int) -> int:
    state = int(record.state)
    if _answers_note(packet, record, side):
        _doubt(packet, record)
    elif is_exact_reset(packet, record, side):
        record.state = CLOSE
        record.flags = int(record.flags) & ~(NOTED_SYN | NOTED_ACK)
    else:
        where = place(packet, record, side, slack_of(record), bool(record.window[side] == 0))
        if _below(packet, record, side):
            where = OUTSIDE
        if where == INSIDE:
            _doubt(packet, record)
        elif where == OUTSIDE and state in (SYN_SENT, SYN_RECV, SYN_SENT2, ESTABLISHED):
            return BAD_WINDOW  # later on the tuple may be in use again: let it pass, and change nothing
    return PASS


def _answers_note(packet: Any, record: Any, side: int) -> bool:
    flags = int(record.flags)
    if side == 1:
        return bool(flags & NOTED_SYN and packet.tcp_flags & ACK and packet.acknowledgement == record.noted)
    return bool(flags & NOTED_ACK and packet.sequence == record.noted)


def _below(packet: Any, record: Any, side: int) -> bool:
    """Certainly before what the peer has acknowledged: limit - window <= highest acknowledgement of the peer's."""
    if record.state in (SYN_SENT, SYN_SENT2):
        return False
    return seq_lt(packet.sequence, sub32(record.limit[side], record.window[1 - side]))


def _doubt(packet: Any, record: Any) -> None:
    """The flow ends soon unless traffic goes on. Not twice in REVIVAL_MS: a dead end sends a RST for each packet."""
    flags = int(record.flags)
    if flags & DOUBTED or (flags & REVIVED and elapsed(packet, record) < REVIVAL_MS):
        return
    record.flags = flags & ~REVIVED | DOUBTED
    touch(packet, record)


def _trusted_again(packet: Any, record: Any) -> bool:
    """A segment passed that is no RST. True if that changes what we think of the flow."""
    flags = int(record.flags)
    if flags & DOUBTED:
        record.flags = flags & ~DOUBTED | REVIVED
    elif flags & REVIVED and elapsed(packet, record) >= REVIVAL_MS:
        record.flags = flags & ~REVIVED
    else:
        return False
    touch(packet, record)
    return True


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
    trusted_again = _trusted_again(packet, record)
    if opens:
        open_side(packet, record, side)
    slack, flags = slack_of(record), int(record.flags)
    moved = moves(packet, record, side, slack)
    if not (opens or moved or trusted_again or following != record.state or flags & (NOTED_SYN | NOTED_ACK)):
        return
    fold(packet, record, side, slack != 0)
    if moved and slack != 0:
        widen(packet, record)
    flags = flags & ~(NOTED_SYN | NOTED_ACK) | (REPLIED if side == 1 else 0)
    record.flags = flags | (SIMULTANEOUS if following == SYN_SENT2 else 0)
    record.state = following
