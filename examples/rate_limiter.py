"""A rate limiter: a TCP connection may send `burst` bytes at once and `bytes_per_s` after that, in each direction.

docs/writing-a-function.md builds it step by step. TCP numbers its bytes, so nothing has to be counted: the record says
up to which sequence number a side may send, and since when that limit grows. A retransmission is not counted twice.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, Field

from statelessnf.function import Function
from statelessnf.packet import FORWARD, ORDINARY, SYN, TCP, count, drop_as, event
from statelessnf.sequence import add32, elapsed32, seq_leq

TOO_FAST = 0  # index into drop_reasons
OVER_BURST = 0  # index into events
HOUR_MS = 3_600_000


def begin(packet: Any, record: Any, burst: int) -> None:
    """The sender's side of the connection starts here, with a full burst."""
    side = packet.direction
    record.state |= 1 << side
    record.limit[side] = add32(packet.sequence, burst)
    record.since[side] = packet.now & 0xFFFFFFFF


class RateLimiter(Function):
    name = "rate_limiter"
    record = np.dtype(
        [
            ("state", "u1"),  # bit 0: the inside has sent, bit 1: the outside has
            ("limit", "<u4", (2,)),  # by direction: sequence number up to which the sender may go
            ("since", "<u4", (2,)),  # by direction: ms modulo 2^32, from when on that grows
        ]
    )
    drop_reasons = ("too_fast",)
    events = ("over_burst",)
    counters = "too_fast_by_side"
    table_types: ClassVar = {"limits": np.dtype([("rate", "<u4"), ("burst", "<u4"), ("idle_ms", "<u4")])}

    class Config(BaseModel, frozen=True, extra="forbid", strict=True):
        """Section [rate_limiter] of the deployment file."""

        bytes_per_s: int = Field(ge=10_000, le=1_000_000_000)
        burst: int = Field(default=250_000, ge=65_536, le=1 << 28)  # bytes; any one packet fits
        idle_s: int = Field(default=300, ge=1, le=86_400)

    @staticmethod
    def tables(config: Any) -> Mapping[str, np.ndarray[Any, Any]]:
        row = (config.bytes_per_s, config.burst, config.idle_s * 1000)
        return {"limits": np.array([row], RateLimiter.table_types["limits"])}

    @staticmethod
    def process(packet: Any, record: Any, tables: Any) -> int:
        if packet.protocol != TCP or packet.kind != ORDINARY:
            return FORWARD
        limits, side = tables.limits[0], packet.direction
        if not record.state >> side & 1 or packet.tcp_flags & SYN:
            begin(packet, record, limits.burst)
        end = add32(packet.sequence, packet.payload_length)
        if seq_leq(end, record.limit[side]):  # granted before: nothing to write
            return FORWARD
        elapsed = min(elapsed32(packet.now, record.since[side]), HOUR_MS)
        grown = min(elapsed * limits.rate // 1000, limits.burst)
        limit = add32(record.limit[side], grown)
        if not seq_leq(end, limit):
            count(packet, side)
            return drop_as(TOO_FAST)
        if 2 * grown >= limits.burst:  # a commit for each half burst, not for each packet
            record.limit[side], record.since[side] = limit, packet.now & 0xFFFFFFFF
            event(packet, OVER_BURST, side)
        return FORWARD

    @staticmethod
    def lifetime(record: Any, tables: Any) -> int:
        return int(tables.limits[0].idle_ms)
