"""Our TCP tracking against Linux conntrack: the same segments into a router with nftables and into the firewall.

Each flow runs three times: through the kernel, through the firewall with its slack taken away (it then has to agree
with the kernel), and through the firewall as it is (it may never refuse what it passes without slack). Differences that
are meant have names here and in docs/tcp-tracking.md; a flow ends at its first one, since states may differ from there.
"""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from conntrack_lab import Router, Segment, conntrack_router
from firewall_play import Play
from statelessnf.fields import Fields
from statelessnf.functions.tcp_states import FIRST_LOW
from statelessnf.functions.tcp_window import OVERSHOT, place
from statelessnf.packet import ACK, FIN, PSH, RST, SYN, URG
from test_firewall import SCRIPTS

pytestmark = pytest.mark.root

FLOWS = 400


@pytest.fixture(scope="module")
def router() -> Iterator[Router]:
    with conntrack_router() as made:
        yield made


class Trio:
    """One flow through the kernel and, without slack and with it, through the firewall."""

    def __init__(self, router: Router, port: int) -> None:
        self.router, self.port = router, port
        self.tight, self.coarse = Play(), Play()
        self.reset_passed = self.learned = False

    def send(self, step: Segment) -> tuple[bool, bool, bool]:
        """(kernel, tight, coarse): whether each lets it pass."""
        self.tight.row["slack"] = 0
        overshot = self._overshoots(step)
        passed = self.router.passes(self.port, step)
        *segment, scale = step
        ours = [play.tcp(*segment, window_scale=scale) == "forward" for play in (self.tight, self.coarse)]
        self.learned |= overshot or bool(step.flags & SYN and not passed)
        return passed, ours[0], ours[1]

    def _overshoots(self, step: Segment) -> bool:
        seq, ack = step.seq % 2**32, step.ack % 2**32
        numbers = {"sequence": seq, "acknowledgement": ack, "sack": ack, "tcp_flags": step.flags}
        packet = Fields(self.tight.packet(step.side, payload_length=step.length, window=step.window, **numbers))
        return place(packet, self.tight.record, step.side ^ self.swapped, 0, False) == OVERSHOT

    @property
    def swapped(self) -> int:
        """1 if side 1 opened the flow."""
        return int(not self.tight.record.flags & FIRST_LOW)

    def difference(self, step: Segment, kernel: bool, tight: bool, coarse: bool) -> str:
        """Name of a difference that is meant; "" if they agree; "?" for one that is not meant."""
        if kernel == tight and coarse >= tight:
            return ""
        if self.reset_passed:
            return "after_reset"
        if self.learned and kernel != tight:
            return "kernel_learned_from_refused"
        if step.flags & RST and tight and not kernel:
            return "reset_below"
        if step.flags & RST and step.flags & ACK and kernel and not tight:
            return "reset_acknowledges"
        return "?"


class Ends:
    """Draws what two ends of a connection might send: mostly sensible, often off by something."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.next = [self.random.getrandbits(32), self.random.getrandbits(32)]
        self.scales = [self.random.choice((0, 7, 14, 255)) for _ in range(2)]
        self.opening = [(0, SYN), (1, SYN | ACK), (0, ACK)]

    def flow(self) -> Iterator[Segment]:
        """The handshake, at times disturbed, then anything."""
        for side, flags in self.opening:
            if self.random.random() < 0.1:
                yield self.any()
            if self.random.random() < 0.95:
                yield self.segment(side, flags)
        for _ in range(self.random.randrange(3, 16)):
            yield self.any()

    def segment(self, side: int, flags: int, offset: int = 0, ack_offset: int = 0, length: int = 0) -> Segment:
        scale = self.scales[side] if flags & SYN else 255
        window = self.random.choice((0, 500, 65535))
        numbers = (self.next[side] + offset, self.next[1 - side] + ack_offset if flags & ACK else 0)
        if offset == 0:
            self.next[side] += length + bool(flags & (SYN | FIN))
        return Segment(side, flags, numbers[0] % 2**32, numbers[1] % 2**32, length, window, scale)

    def any(self) -> Segment:
        draw = self.random
        kinds = (
            [ACK] * 8
            + [ACK | PSH] * 3
            + [FIN | ACK] * 3
            + [RST, RST | ACK, SYN, SYN | ACK, 0, FIN, SYN | FIN, ACK | URG]
        )
        near, far = (-300, -5, -1, 1, 5, 300), (-100_000, 70_000, 400_000, 1 << 29, 3 << 29)
        offset = draw.choice((0,) * 12 + near + far)
        ack_offset = draw.choice((0,) * 12 + near + far)
        flags = draw.choice(kinds)
        length = 0 if flags & RST else draw.choice((0, 0, 1, 100, 1400))
        return self.segment(draw.randrange(2), flags, offset, ack_offset, length)


def test_scripts(router: Router) -> None:
    """The cases of test_firewall.py: the kernel's verdicts are those written there."""
    differing = []
    for port, (name, steps) in enumerate(SCRIPTS.items(), 20_000):
        trio = Trio(router, port)
        for number, (segment, _, _) in enumerate(steps):
            step = Segment(*segment)
            if len(set(trio.send(step))) > 1:
                differing.append((name, number))
    assert differing == [("refused", 2)]  # conntrack has forgotten the flow; a repeated RST does no harm


def test_random_flows(router: Router) -> None:
    """Seeded. Each difference is one of those that are meant, and they are few."""
    met: Counter[str] = Counter()
    compared = passed = 0
    for seed in range(FLOWS):
        trio = Trio(router, 21_000 + seed)
        history = []
        for step in Ends(seed).flow():
            verdicts = trio.send(step)
            history.append((step, verdicts))
            compared += 1
            passed += verdicts[0]
            difference = trio.difference(step, *verdicts)
            assert difference != "?", (seed, history)
            if difference:
                met[difference] += 1
                break
            trio.reset_passed |= bool(step.flags & RST and verdicts[0])
    assert met["after_reset"] <= FLOWS // 10
    assert met["kernel_learned_from_refused"] <= FLOWS // 50
    assert met["reset_below"] <= FLOWS // 50
    assert met["reset_acknowledges"] <= FLOWS // 50
    assert compared > 10 * FLOWS
    assert compared // 4 < passed < compared * 3 // 4
