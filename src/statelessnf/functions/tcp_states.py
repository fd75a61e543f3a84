"""States of a TCP flow, and which segment leads from where to where: those of Linux conntrack, one left out.

CLOSE_WAIT is missing: it differs from FIN_WAIT by its time-out alone, and going there would cost a commit. Side 0 sent
the SYN that opened the flow.
"""

from typing import Any

from statelessnf.functions.tcp_window import LAST_SLACK
from statelessnf.packet import ACK, FIN, RST, SYN, URG

NONE, SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT, LAST_ACK, TIME_WAIT, CLOSE, SYN_SENT2 = range(9)
INVALID, IGNORE = 14, 15  # in the table only: refuse; let pass although we may be out of step

SEGMENT_SYN, SEGMENT_SYNACK, SEGMENT_FIN, SEGMENT_ACK, SEGMENT_RST = range(5)

# record.flags
FIRST_LOW = 1  # side 0 is the lower endpoint of the flow key
REPLIED = 2  # side 1 has answered
SIMULTANEOUS = 4  # both sides sent a SYN (RFC 9293 §3.5)
DOUBTED = 8  # a RST has passed of which we cannot know that its sequence number is right
REVIVED = 16  # traffic went on after that
NOTED_SYN = 32  # `noted`: end of a SYN of side 0 that passed although the flow is open
NOTED_ACK = 64  # `noted`: what an ACK of side 1 acknowledged that passed in SYN_SENT

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
    flags = tcp_flags & _COUNTED_FLAGS
    if not VALID_FLAGS >> flags & 1:
        return -1
    if flags & RST:
        return SEGMENT_RST
    if flags & SYN:
        return SEGMENT_SYNACK if flags & ACK else SEGMENT_SYN
    return SEGMENT_FIN if flags & FIN else SEGMENT_ACK


def next_state(side: int, segment: int, state: int) -> int:
    """Where a segment leads by the table alone, or INVALID, or IGNORE."""
    return _ROWS[side * 5 + segment] >> 4 * state & 15


def slack_of(record: Any) -> int:
    """Bytes by which the record may lag; none before the flow is established: there each segment counts."""
    early = record.state in (SYN_SENT, SYN_RECV, SYN_SENT2)
    return 0 if early else (1 << min(record.slack, LAST_SLACK)) - 1
