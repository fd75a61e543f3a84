"""`python -m statelessnf.bench.flood_sender INTERFACE MAC RATE FLOOD`: sends a flood until SIGTERM.

RATE: frames a second. FLOOD: the fields of a `Flood` as JSON. Batches go to the kernel by sendmmsg(2), past the
queueing discipline; what the link does not take at once is not sent again.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from ipaddress import IPv4Network
from typing import Any

from statelessnf.bench.flood_frames import LENGTH, Flood, FloodFrames
from statelessnf.bench.sendmmsg import Messages

BATCH = 512  # frames
_SOL_PACKET, _PACKET_QDISC_BYPASS = 263, 20  # linux/if_packet.h


class Sender:
    """Sends batches of one flood over an interface of this namespace."""

    def __init__(self, interface: str, frames: FloodFrames) -> None:
        self._frames = frames
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
        self._socket.bind((interface, 0))
        self._messages = Messages(frames.bytes_.ctypes.data, LENGTH, len(frames.bytes_))

    def send(self) -> None:
        """A batch of new frames. Raises OSError, but not for want of buffers."""
        self._frames.renew()
        self._messages.send(self._socket, 0, len(self._frames.bytes_))


def encoded(flood: Flood) -> str:
    """For the command line."""
    return json.dumps(flood._asdict() | {"sources": str(flood.sources), "destinations": str(flood.destinations)})


def decoded(text: str) -> Flood:
    """The inverse of `encoded`."""
    fields: dict[str, Any] = json.loads(text)
    networks = {name: IPv4Network(fields[name]) for name in ("sources", "destinations")}
    return Flood(**(fields | networks))


def run(interface: str, mac: bytes, rate: float, flood: Flood) -> None:
    """Steadily, until a signal ends the process; time that was lost is not made up for."""
    sender, due = Sender(interface, FloodFrames(flood, mac, BATCH)), time.monotonic()
    while True:
        sender.send()
        due = max(due + BATCH / rate, time.monotonic() - BATCH / rate)
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    run(sys.argv[1], bytes.fromhex(sys.argv[2]), float(sys.argv[3]), decoded(sys.argv[4]))
