"""ICMP queries: which types ask, which answer, and whether a message belongs to what was asked in its flow.

A flow is a pair of addresses and an identifier. Both sides may ask under the same identifier (some systems always use
the same one), so the record knows who has asked, and the type of the question.
"""

from typing import Any

# Requests and their replies: echo, timestamp, information, address mask (RFC 792, RFC 950); echo and node information
# of ICMPv6 (RFC 4443, RFC 4620). Their numbers do not collide between the two protocols.
REQUESTS = (8, 13, 15, 17, 128, 139)
REPLIES = (0, 14, 16, 18, 129, 140)

_ASKED = 128  # record.flags, this and the bit below: side 0 and side 1 have asked


def is_request(icmp_type: int) -> bool:
    """True for a type that may open a flow."""
    for request in REQUESTS:  # noqa: SIM110 - compiled code knows no generators
        if icmp_type == request:
            return True
    return False


def ask(packet: Any, record: Any, side: int) -> None:
    """An allowed request: the record expects its answers."""
    record.noted = packet.icmp_type
    record.flags = record.flags | _ASKED >> side


def belongs(packet: Any, record: Any, side: int) -> bool:
    """A request like the one that was allowed from this side, or a reply to one from the other side."""
    flags = record.flags
    for i in range(len(REQUESTS)):
        if record.noted == REQUESTS[i]:
            if packet.icmp_type == REQUESTS[i]:
                return bool(flags & _ASKED >> side)
            return bool(packet.icmp_type == REPLIES[i] and flags & _ASKED >> (1 - side))
    return False
