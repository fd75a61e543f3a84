"""An offered load of many UDP flows whose rate can be changed at any time, and what of it arrives.

The clients open each flow with a datagram, and from then on the server sends: a firewall that has lost a flow's state
drops its packets, as it does with any that nobody inside has asked for. What arrives is counted by the clients'
interface, and what is offered by the sender.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from statelessnf.bench.instruments.stream import BEGIN_SECONDS, SETTLE, Ends
from statelessnf.bench.instruments.worker import Worker
from statelessnf.errors import LabError
from statelessnf.lab.links import Meter

PORT = 7001  # of the server
FIRST_PORT = 20_000  # of the clients
BYTES = 64  # of payload
OPENING_RATE = 20  # packets a second and flow while flows are opened


@dataclass(frozen=True)
class Count:
    """Totals at one moment (s, monotonic): packets that were offered, that could not be sent in time, that arrived."""

    time: float
    offered: int
    missed: int
    arrived: int


class Load:
    """`flows` flows from the server to the clients, opened; nothing is sent until `rate` says so.

    Its processes are on `stack`. Raises LabError.
    """

    def __init__(self, stack: ExitStack, ends: Ends, folder: Path, flows: int) -> None:
        self._flows = flows
        server, ports = (ends.address, PORT), range(FIRST_PORT, FIRST_PORT + flows)
        self._meter = stack.enter_context(closing(Meter(ends.clients)))
        sends = {"own": server, "peers": [(ends.client, port) for port in ports], "bytes": BYTES}
        self._sender = Worker(stack, ends.server, "send_worker", folder, sends)
        opens = {"own": ends.client, "port": FIRST_PORT, "flows": flows, "peer": server}
        self._clients = Worker(stack, ends.clients, "open_worker", folder, opens)
        self._open()

    def rate(self, packets_per_second: float) -> None:
        """So much is offered from now on."""
        self._sender.ask({"rate": packets_per_second})

    def stop(self) -> Count:
        """Nothing is offered any more; totals once nothing more arrives."""
        self.rate(0)
        before, now = None, self.count()
        while before is None or now.arrived != before.arrived:
            time.sleep(SETTLE)
            before, now = now, self.count()
        return now

    def count(self) -> Count:
        """Totals as of now."""
        arrived = self._meter.read()["eth0"].received_packets
        sent = self._sender.ask({})
        return Count(sent["time"], int(sent["sent"]), int(sent["missed"]), arrived)

    def _open(self) -> None:
        deadline = time.monotonic() + BEGIN_SECONDS
        self.rate(OPENING_RATE * self._flows)
        while (opened := self._clients.ask({})["open"]) < self._flows:
            if time.monotonic() > deadline:
                raise LabError(f"{opened} of {self._flows} UDP flows could be opened in {BEGIN_SECONDS:g} s")
            time.sleep(SETTLE)
        self.stop()
