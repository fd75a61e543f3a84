"""A heartbeat as it comes from the wire (docs/heartbeats.md): one datagram of 128 bytes from one pipe.

What `decode` returns was checked byte by byte; anything else is None. Counts are since the pipe's start.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

SIZE: Final = 128
MOST_PIPES: Final = 64
AVAILABLE: Final = 1  # the store answers, or there is none to ask
ADMITTING: Final = 2  # new flows are taken
STOPPING: Final = 4  # the pipe ends: it was told to

_START: Final = b"SNFB\x01"  # and the version
_ZEROS: Final = bytes(6)
_FIELDS: Final = Struct("<5xBHH6x16s12Q")


class Beat(NamedTuple):
    """One pipe at one moment."""

    flags: int
    pipe: int
    pipes: int
    token: bytes  # 16 bytes: which instance it is
    sequence: int  # from 1
    sent_ns: int  # monotonic clock of the instance's host
    received: int  # packets, both sides
    received_bytes: int
    forwarded: int
    dropped: int
    missed: int  # frames that the ports had no free buffer for; asked once a second
    busy_ns: int  # in turns of the loop that had packets
    latency_sum_ns: int  # of `latency_packets`, from arrival to transmission
    latency_packets: int
    new_flows: int
    records: int  # held now

    @property
    def available(self) -> bool:
        """The store answers, or there is none to ask."""
        return bool(self.flags & AVAILABLE)

    @property
    def admitting(self) -> bool:
        """New flows are taken."""
        return bool(self.flags & ADMITTING)

    @property
    def stopping(self) -> bool:
        """The pipe has been told to end."""
        return bool(self.flags & STOPPING)


def decode(datagram: bytes) -> Beat | None:
    """The beat, or None: not a valid one."""
    if len(datagram) != SIZE or datagram[:5] != _START or datagram[10:16] != _ZEROS:
        return None
    beat = Beat._make(_FIELDS.unpack(datagram))
    if beat.flags > 7 or not beat.pipe < beat.pipes <= MOST_PIPES or beat.sequence == 0:
        return None
    return beat


def encode(beat: Beat) -> bytes:
    """As an instance sends it: for tests and simulations. Raises struct.error for a value that does not fit."""
    return _START + _FIELDS.pack(*beat)[5:]
