"""How long a flow lives without a packet: states of records, and the section [firewall.timeouts].

Names and values are those of Linux conntrack (nf_conntrack-sysctl); all in seconds. TCP's states are the numbers of
`tcp_states`; those of the other protocols follow behind.
"""

from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from statelessnf.functions import tcp_states as tcp

UNREPLIED, STREAM, QUERIED, GENERIC = range(tcp.SYN_SENT2 + 1, tcp.SYN_SENT2 + 5)
UNACKNOWLEDGED = GENERIC + 1  # no state: the row for a flow that was doubted (see tcp_reset)

Seconds = Annotated[int, Field(ge=1, le=10 * 365 * 86400)]


class Timeouts(BaseModel):
    """Seconds without a packet after which a flow is forgotten."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tcp_syn_sent_s: Seconds = 120
    tcp_syn_recv_s: Seconds = 60
    tcp_established_s: Seconds = 432_000
    tcp_fin_wait_s: Seconds = 120
    tcp_last_ack_s: Seconds = 30
    tcp_time_wait_s: Seconds = 120
    tcp_close_s: Seconds = 10
    tcp_unacknowledged_s: Seconds = 300
    udp_s: Seconds = 30
    udp_stream_s: Seconds = 120
    icmp_s: Seconds = 30
    generic_s: Seconds = 600


ROW = np.dtype([("milliseconds", "<u8")])


def timeout_rows(timeouts: Timeouts) -> np.ndarray[Any, Any]:
    """Milliseconds for each state, indexed by `record.state`; UNACKNOWLEDGED is the last."""
    rows = np.zeros(UNACKNOWLEDGED + 1, ROW)
    seconds = {
        tcp.SYN_SENT: timeouts.tcp_syn_sent_s,
        tcp.SYN_SENT2: timeouts.tcp_syn_sent_s,
        tcp.SYN_RECV: timeouts.tcp_syn_recv_s,
        tcp.ESTABLISHED: timeouts.tcp_established_s,
        tcp.FIN_WAIT: timeouts.tcp_fin_wait_s,
        tcp.LAST_ACK: timeouts.tcp_last_ack_s,
        tcp.TIME_WAIT: timeouts.tcp_time_wait_s,
        tcp.CLOSE: timeouts.tcp_close_s,
        UNREPLIED: timeouts.udp_s,
        STREAM: timeouts.udp_stream_s,
        QUERIED: timeouts.icmp_s,
        GENERIC: timeouts.generic_s,
        UNACKNOWLEDGED: timeouts.tcp_unacknowledged_s,
    }
    for state, value in seconds.items():
        rows["milliseconds"][state] = value * 1000
    return rows
