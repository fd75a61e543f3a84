"""One captured packet, and the limits that both file formats share."""

from __future__ import annotations

from typing import NamedTuple

from statelessnf.capture.stream import Stream
from statelessnf.errors import CaptureError

ETHERNET = 1  # LINKTYPE_ETHERNET
MAX_CAPTURED = 262_144  # bytes of one packet: libpcap's MAXIMUM_SNAPLEN; more is a damaged file
LINK_NAMES = {0: "BSD loopback", 101: "raw IP", 105: "802.11", 113: "Linux cooked", 276: "Linux cooked v2"}


class Captured(NamedTuple):
    """`time` in nanoseconds since 1970, `frame` as captured (an Ethernet header first)."""

    time: int
    frame: bytes


def oversized(stream: Stream, size: int) -> CaptureError:
    """For a record at `stream.at` that claims an impossible size."""
    what = f"the record at byte {stream.offset} claims {size} bytes: the capture is damaged"
    return stream.failed(what, "capture again")


def wrong_link(stream: Stream, link: int) -> CaptureError:
    """For packets that are no Ethernet frames."""
    name = LINK_NAMES.get(link, "unknown")
    return stream.failed(f"unsupported link type {link} ({name})", "capture on an Ethernet interface (not on 'any')")
