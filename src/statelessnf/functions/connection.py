"""How far a balanced flow has got, from what is seen of it: the least that tells when it counts and when it ends.

A load balancer refuses no segment of a connection: that is for the server, which knows its numbers. So there is no
window here, and the record changes four times in a connection: SYN, first acknowledgement of the client, one FIN each.
Any acknowledgement of the client opens the flow, as in Linux IPVS. A RST may be forged; the flow then stays for
`tcp_closing_s`, and is what it was if traffic goes on behind what was in flight (RFC 7857 §2.2 has NATs wait, too). In
mode `direct` only the client is heard, and its FIN ends the flow, whose record lives on while segments pass.
"""

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from statelessnf.functions.tcp_states import SEGMENT_ACK, SEGMENT_FIN, SEGMENT_RST, SEGMENT_SYN, segment_of
from statelessnf.functions.tcp_window import elapsed, touch
from statelessnf.functions.timeouts import ROW, Seconds
from statelessnf.packet import ACK, FIN, ORDINARY, RST, SYN, TCP

NONE, OPENING, OPEN, CLOSING, CLOSED, ASKED, STREAM = range(7)  # record.state; the last two: datagrams
CLIENT, SERVER = range(2)  # who sent a packet

# record.flags
DIRECT = 1  # the frame goes to the server as it is; answers do not come back here
CLIENT_FIN = 2
SERVER_FIN = 4

GOES_ON_MS = 2000  # datagrams that still come after this time are a stream (as conntrack has it); segments: no end


class FlowTimeouts(BaseModel):
    """Seconds without a packet after which a flow is forgotten: those of IPVS for TCP and streams (ip_vs_proto_*.c),
    conntrack's for a datagram and its answer (nf_conntrack_udp_timeout)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tcp_opening_s: Seconds = 60
    tcp_open_s: Seconds = 900
    tcp_closing_s: Seconds = 120
    udp_s: Seconds = 30
    udp_stream_s: Seconds = 300


def timeout_rows(timeouts: FlowTimeouts) -> np.ndarray[Any, Any]:
    """Milliseconds for each state (7, ROW), indexed by `record.state`."""
    seconds = [0, timeouts.tcp_opening_s, timeouts.tcp_open_s, timeouts.tcp_closing_s, timeouts.tcp_closing_s]
    seconds += [timeouts.udp_s, timeouts.udp_stream_s]
    return np.array([(value * 1000,) for value in seconds], ROW)


def is_syn(packet: Any) -> bool:
    """A SYN without ACK: what opens a connection."""
    return bool(packet.kind == ORDINARY and packet.protocol == TCP and segment_of(packet.tcp_flags) == SEGMENT_SYN)


def begin(packet: Any, record: Any) -> None:
    """The first packet of a flow, or of a new connection on the tuple of one that has ended."""
    record.state = OPENING if packet.protocol == TCP else ASKED
    record.flags = record.flags & DIRECT
    record.counted = 1
    touch(packet, record)


def end(packet: Any, record: Any) -> None:
    """The flow counts no more; it stays for a while, for what still comes."""
    record.state = CLOSED
    record.counted = 0
    touch(packet, record)


def follow(packet: Any, record: Any, sender: int) -> None:
    """Take a packet of a flow. Fragments and ICMP errors change nothing."""
    if packet.kind != ORDINARY:
        return
    if packet.protocol == TCP:
        _follow_segment(packet, record, sender)
    elif record.state == ASKED and elapsed(packet, record) >= GOES_ON_MS:
        record.state = STREAM


def _is_settled(packet: Any, record: Any) -> bool:
    """Nearly every segment: an acknowledgement, with data or without, of a flow that is open both ways. It would leave
    the record as it is."""
    if record.state != OPEN or record.flags & (CLIENT_FIN | SERVER_FIN):
        return False
    return bool(packet.tcp_flags & (FIN | SYN | RST | ACK) == ACK)


def _follow_segment(packet: Any, record: Any, sender: int) -> None:
    if _is_settled(packet, record):
        return
    if segment_of(packet.tcp_flags) == SEGMENT_FIN:
        record.flags = record.flags | (CLIENT_FIN if sender == CLIENT else SERVER_FIN)
    following = _next_state(packet, record, sender)
    if following == CLOSED and record.state != CLOSED:
        end(packet, record)
    elif following != CLOSED:
        record.state = following
        record.counted = 1


def _next_state(packet: Any, record: Any, sender: int) -> int:
    segment = segment_of(packet.tcp_flags)
    if segment == SEGMENT_RST or (segment == SEGMENT_FIN and _has_ended(record)):
        return CLOSED
    waits = record.state == OPENING and sender == SERVER
    waits = waits or (record.state == CLOSED and elapsed(packet, record) < GOES_ON_MS)
    if segment not in (SEGMENT_ACK, SEGMENT_FIN) or waits or _has_ended(record):
        return int(record.state)
    return CLOSING if record.flags & (CLIENT_FIN | SERVER_FIN) else OPEN


def _has_ended(record: Any) -> bool:
    flags = record.flags
    return bool(flags & CLIENT_FIN and flags & (SERVER_FIN | DIRECT))
