"""Which packets can be the first of a flow, whatever the network function."""

from typing import Any

from statelessnf.functions.queries import is_request
from statelessnf.functions.tcp_states import SEGMENT_SYN, segment_of
from statelessnf.packet import ICMP, ICMPV6, TCP


def may_open(packet: Any) -> bool:
    """TCP: a SYN; ICMP: a request; all others: any packet. Of an ordinary packet."""
    if packet.protocol == TCP:
        return segment_of(packet.tcp_flags) == SEGMENT_SYN
    return bool(packet.protocol not in (ICMP, ICMPV6) or is_request(packet.icmp_type))
