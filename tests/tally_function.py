"""A small network function for tests of the commit protocol: it writes down whom it has counted.

TCP packets are orders: the window says which, the sequence number (0..63) is the packet's name. A record that was lost,
or an order that was carried out twice, shows in `seen` and `twice`; the event of a count tells its place in the order.
"""

from typing import Any

import numpy as np

from statelessnf.function import Function
from statelessnf.packet import DROP, FORWARD, count, drop_as, event

COUNT, ASK, REFUSE, FAULT, FORGET = range(5)  # orders
NOT_YET, REFUSED = range(2)  # drop reasons
LIFETIME_MS = 8_000


class Tally(Function):
    """COUNT: note the name, forward, report the total. ASK: forward if the name in `acknowledgement` is known.

    REFUSE: note the name and drop. FAULT: note the name, then raise. FORGET: note the name; from now on none is known.
    """

    name = "tally"
    record = np.dtype([("state", "u1"), ("total", "<u4"), ("seen", "<u8"), ("twice", "<u8"), ("known", "<u8")])
    drop_reasons = ("not_yet", "refused")
    events = ("counted",)

    @staticmethod
    def process(packet: Any, record: Any, tables: Any) -> int:
        if packet.window == ASK:
            known = record.known >> (packet.acknowledgement & 63) & 1
            return FORWARD if known else drop_as(NOT_YET)
        name = np.uint64(1) << np.uint64(packet.sequence & 63)
        record.state = 1
        record.twice |= record.seen & name
        record.seen |= name
        record.known = np.uint64(0) if packet.window == FORGET else record.known | name
        record.total += 1
        if packet.window == FAULT:
            return int(DROP // (record.state - 1))
        event(packet, 0, record.total)
        count(packet, 0)
        return drop_as(REFUSED) if packet.window == REFUSE else FORWARD

    @staticmethod
    def lifetime(record: Any, tables: Any) -> int:
        return LIFETIME_MS
