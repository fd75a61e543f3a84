"""How far a translated session has got, and so how long its mapping lives: the least that RFC 5382 and RFC 7857 ask.

TCP follows the state machine of RFC 6146 §3.5.2.2 (RFC 7857 §2 takes it over) with a bit for each event and side: a
mapping is lasting once both sides have sent a SYN, until both have sent a FIN, or one has sent a RST. A RST removes
nothing: the mapping then lives for the transitory time, and lasts again when the side that sent the RST goes on
(RFC 7857 §2.2; whoever really sent one has nothing more to say, so a stray or forged one costs two commits). Data and
acknowledgements leave the record as it is: a connection costs four commits. Side 0 is the one with the mapping.
"""

from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from statelessnf.functions.timeouts import ROW, Seconds
from statelessnf.packet import ACK, FIN, ICMP, ICMPV6, RST, SYN, TCP

NONE, OPENING, LASTING, DATAGRAMS, QUERIES, CLOSING = range(6)  # record.state

_OPENED, _CLOSED, _RESET = 1, 4, 16  # record.flags: side 0 has sent SYN, FIN, RST; side 1: the next bit
_BOTH = 3
_TELLING = FIN | SYN | RST

# RFC 5382 REQ-5, RFC 4787 REQ-5 and RFC 5508 REQ-2: no shorter than this, in seconds
LEAST_LASTING, LEAST_TRANSITORY, LEAST_UDP, LEAST_ICMP = 7440, 240, 120, 60


class NatTimeouts(BaseModel):
    """Seconds without a packet, from either side, after which a mapping is forgotten."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tcp_established_s: Seconds = LEAST_LASTING
    tcp_transitory_s: Seconds = LEAST_TRANSITORY  # opening
    tcp_closing_s: Seconds = LEAST_TRANSITORY  # closed by both sides, or reset
    udp_s: Seconds = 300
    icmp_s: Annotated[int, Field(ge=1)] = LEAST_ICMP


def timeout_rows(timeouts: NatTimeouts) -> np.ndarray[Any, Any]:
    """Milliseconds by `record.state`."""
    tcp = (timeouts.tcp_transitory_s, timeouts.tcp_established_s)
    seconds = (0, *tcp, timeouts.udp_s, timeouts.icmp_s, timeouts.tcp_closing_s)
    return np.array([(value * 1000,) for value in seconds], ROW)


def first_state(protocol: int) -> int:
    """Of the session that a packet of this protocol opens."""
    if protocol == TCP:
        return OPENING
    return QUERIES if protocol in (ICMP, ICMPV6) else DATAGRAMS


def _is_lasting(seen: int) -> bool:
    opened = seen & _BOTH == _BOTH
    return bool(opened and seen & _BOTH * _CLOSED != _BOTH * _CLOSED and not seen & _BOTH * _RESET)


def _after(seen: int, tcp_flags: int, side: int) -> int:
    """What has been seen once this segment has passed."""
    if tcp_flags & RST:
        return seen | _RESET << side if _is_lasting(seen) else seen
    if tcp_flags & SYN:
        begins = seen & _BOTH == _BOTH and not _is_lasting(seen) and not tcp_flags & ACK
        return _OPENED << side if begins else seen | _OPENED << side
    seen = seen & ~(_RESET << side)
    return seen | _CLOSED << side if tcp_flags & FIN else seen


def follow_segment(packet: Any, record: Any, side: int) -> None:
    """Take over what an ordinary TCP segment of `side` says; every one passes (RFC 5382 REQ-2)."""
    if record.state == LASTING and not packet.tcp_flags & _TELLING:
        return  # nearly every segment: nothing that the flags would show
    seen = _after(record.flags + 0, packet.tcp_flags + 0, side)
    record.flags = seen
    ended = CLOSING if seen & _BOTH == _BOTH else OPENING
    record.state = LASTING if _is_lasting(seen) else ended
