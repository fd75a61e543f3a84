"""What a RST does. Only one that certainly has the expected number ends a flow; another one puts it in doubt.

The window is coarse, so the expected number is mostly not known. A flow in doubt ends soon (like conntrack's CLOSE)
unless traffic goes on: then it is revived, at first with the time-out that conntrack gives to unacknowledged data.
"""

from typing import Any

from statelessnf.functions.tcp_states import (
    CLOSE,
    DOUBTED,
    ESTABLISHED,
    NOTED_ACK,
    NOTED_SYN,
    REPLIED,
    REVIVED,
    SYN_RECV,
    SYN_SENT,
    SYN_SENT2,
    slack_of,
)
from statelessnf.functions.tcp_window import INSIDE, OUTSIDE, elapsed, place, touch
from statelessnf.packet import ACK
from statelessnf.sequence import seq_lt, sub32

REVIVAL_MS = 10_000  # a revived flow is as good as any other, or may be doubted again, after this time


def is_over(record: Any) -> bool:
    """Refused before side 1 had answered: for conntrack there is no flow any more."""
    return bool(record.state == CLOSE and not record.flags & REPLIED)


def is_exact_reset(packet: Any, record: Any, side: int) -> bool:
    """The RST certainly has the number that its receiver expects (RFC 9293 §3.5.3, RFC 5961 §3.2)."""
    if record.window[side] == 0:  # has not opened its side
        return bool(packet.tcp_flags & ACK and packet.acknowledgement == record.end[0])
    return bool(packet.sequence == record.end[side])


def reset(packet: Any, record: Any, side: int) -> bool:
    """Take a RST; True if it may pass. Once the flow closes it always may: the tuple may be in use again."""
    slack = slack_of(record)
    where = place(packet, record, side, slack, bool(record.window[side] == 0))
    if _answers_note(packet, record, side):
        _doubt(packet, record)
    elif where == OUTSIDE or _below(packet, record, side, slack):
        return record.state not in (SYN_SENT, SYN_RECV, SYN_SENT2, ESTABLISHED)
    elif is_exact_reset(packet, record, side):
        record.state = CLOSE
        record.flags = record.flags & ~(NOTED_SYN | NOTED_ACK)
    elif where == INSIDE:
        _doubt(packet, record)
    return True


def _answers_note(packet: Any, record: Any, side: int) -> bool:
    flags = record.flags
    if side == 1:
        return bool(flags & NOTED_SYN and packet.tcp_flags & ACK and packet.acknowledgement == record.noted)
    return bool(flags & NOTED_ACK and packet.sequence == record.noted)


def _below(packet: Any, record: Any, side: int, slack: int) -> bool:
    """Certainly before what the peer has acknowledged: limit <= highest acknowledgement + largest window."""
    if record.state in (SYN_SENT, SYN_RECV, SYN_SENT2) or record.flags & NOTED_SYN:
        return False
    return seq_lt(packet.sequence, sub32(record.limit[side], record.window[1 - side] + slack))


def _doubt(packet: Any, record: Any) -> None:
    """The flow ends soon unless traffic goes on. Not twice in REVIVAL_MS: a dead end sends a RST for each packet."""
    flags = record.flags
    if flags & DOUBTED or (flags & REVIVED and elapsed(packet, record) < REVIVAL_MS):
        return
    record.flags = flags & ~REVIVED | DOUBTED
    touch(packet, record)


def trusted_again(packet: Any, record: Any) -> bool:
    """A segment passed that is no RST. True if that changes what we think of the flow."""
    flags = record.flags
    if flags & DOUBTED:
        record.flags = flags & ~DOUBTED | REVIVED
    elif flags & REVIVED and elapsed(packet, record) >= REVIVAL_MS:
        record.flags = flags & ~REVIVED
    else:
        return False
    touch(packet, record)
    return True
