"""What operators use today as a subject: two Linux firewalls with conntrackd and keepalived (lab/linux_firewalls.py).

Its instances are one active firewall and one standing by. Packets can be led asymmetrically, by routes; a spray of
single packets is not something that its routers can do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from statelessnf.bench.subjects.subject import Failure, Way
from statelessnf.errors import LabError
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.linux_firewall import LinuxFirewall
from statelessnf.lab.linux_firewalls import CLIENT, LinuxFirewalls
from statelessnf.lab.web import PORT, answers

READY_SECONDS = 15.0


class LinuxPair:
    """See subject.Subject."""

    name = "linux"
    failures: frozenset[Failure] = frozenset(Failure)
    ways: frozenset[Way] = frozenset({Way.symmetric, Way.asymmetric})
    client_address = str(CLIENT.ip)

    def __init__(self, stack: ExitStack, lab: Lab, udp: Sequence[int]) -> None:
        self._pair = LinuxFirewalls(stack, lab, [PORT], udp)
        self.clients, self.server = self._pair.clients, self._pair.server
        self.server_address = self._pair.server_address

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while self._pair.active is None or not answers(self.clients, self.server_address, 0.2):
            self.check()
            if time.monotonic() > deadline:
                raise LabError(f"nothing got through the Linux firewalls in {READY_SECONDS:g} s")

    def traffic(self) -> list[int]:
        return self._pair.traffic()

    def carrying(self) -> int:
        return 1

    def fail(self, failure: Failure, victim: int) -> None:
        doing: dict[Failure, Callable[[LinuxFirewall], None]] = {
            Failure.kill: LinuxFirewall.power_off,
            Failure.stop: LinuxFirewall.freeze,
            Failure.cut: LinuxFirewall.cut,
            Failure.move: LinuxFirewall.hand_over,
        }
        doing[failure](self._pair.firewalls[victim])

    def steer(self, way: Way) -> None:
        if way is Way.asymmetric:
            self._pair.route(0, 1)
        else:
            self._pair.route(None, None)

    def check(self) -> None:
        for firewall in self._pair.firewalls:
            firewall.check()
