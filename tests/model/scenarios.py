"""What is searched: small worlds, each the least in which some rules can be seen to matter.

A scenario names its packets, its faults and its clock; all interleavings of it are searched. `off` lists rules that are
switched off. `stale_limit` None: the clock stands still and unchanged FORWARD may lag as long as a push is under way.
"""

from __future__ import annotations

from typing import NamedTuple

from .functions import Firewall, Function, Nat, Packet, Reassembly
from .store import Record, Store
from .world import Instance, Moment, Trace

BEFORE = (9, 0)  # nonce of records that stand there from the start


class Scenario(NamedTuple):
    """One world. `start`: record under key 0; `warm`: both instances have it in their caches."""

    name: str
    function: Function
    packets: tuple[Packet, ...]
    cache: bool = True
    start: Record | None = None
    warm: bool = False
    crashes: int = 0
    cuts: int = 0
    half_open: bool = False  # a dead connection may go unnoticed for a while
    ticks: int = 0
    stale_limit: int | None = None
    refreshes: bool = False
    in_order: bool = False  # packets are received in the order in which they are listed, at either instance
    most_conflicts: int = 3
    off: frozenset[str] = frozenset()

    def flow(self, packet: int) -> int:
        """Packets of one flow are kept in order; a NAT's inbound packets are flows of their own."""
        return self.function.key(self.packets[packet])

    def without(self, *rules: str) -> Scenario:
        """The same world with rules switched off."""
        return self._replace(off=frozenset(rules))

    def first(self) -> Moment:
        """The moment at which the search starts."""
        keys = self.function.keys
        records = (self.start,) + (None,) * (keys - 1)
        cache = records if self.warm else (None,) * keys
        tracked = frozenset({(0, 0), (1, 0)}) if self.warm else frozenset[tuple[int, int]]()
        nonces = frozenset({BEFORE}) if self.start else frozenset[tuple[int, int]]()
        instance = Instance((None,) * keys, cache)
        return Moment(
            0,
            Store(records, tracked, ghost_committed=nonces),
            (instance, instance),
            (Trace(),) * len(self.packets),
            crashes=self.crashes,
            cuts=self.cuts,
        )


def packets(*kinds: str) -> tuple[Packet, ...]:
    """Firewall packets."""
    return tuple(Packet(kind) for kind in kinds)


FAR = 99
ESTABLISHED = Record("est", BEFORE, FAR)
HALF = Record("syn", BEFORE, FAR)

OPENING = packets("syn", "synack", "data")
RESET = packets("syn", "synack", "rst")
CLOSING = packets("synack", "rst", "data")
REFRESH, REFRESH_TRACKED = packets("rst", "data", "syn"), packets("data", "rst", "data")
OUT = (Packet("out", 0), Packet("out", 1), Packet("out", 0))
OUT_AND_IN = (*OUT[:2], Packet("in", 0))
PIECES = (Packet("seq", 1), Packet("seq", 2), Packet("seq", 3))
RETRANSMITTED = (*PIECES[:2], Packet("seq", 1))

# A standing clock: every rule that needs no time.
STANDING = (
    Scenario("opening", Firewall(), OPENING),
    Scenario("opening-off", Firewall(), OPENING, cache=False),
    Scenario("opening-crash", Firewall(), RESET, crashes=1),
    Scenario("opening-cut", Firewall(), RESET, cache=False, cuts=1),
    Scenario("closing-cut", Firewall(), CLOSING, cache=False, start=HALF, cuts=1),
    Scenario("nat", Nat(), OUT, cache=False),
    Scenario("nat-in", Nat(), OUT_AND_IN, cache=False, crashes=1),
    Scenario("park", Reassembly(), PIECES, cache=False),
    Scenario("park-crash", Reassembly(), RETRANSMITTED, cache=False, crashes=1),
)

# A clock: staleness, deadlines, refreshes.
TIMED = (
    Scenario("stale", Firewall(), CLOSING, start=HALF, warm=True, ticks=1, stale_limit=0, in_order=True),
    Scenario("half-open", Firewall(), CLOSING[1:], start=ESTABLISHED, warm=True, cuts=1, half_open=True, ticks=1,
             stale_limit=0),
    Scenario("refresh", Firewall(), REFRESH, cache=False, start=Record("est", BEFORE, 3), ticks=2, refreshes=True,
             in_order=True),
    Scenario("refresh-tracked", Firewall(), REFRESH_TRACKED, start=Record("est", BEFORE, 2), warm=True, ticks=1,
             stale_limit=0, refreshes=True, in_order=True),
)  # fmt: skip

SCENARIOS = {scenario.name: scenario for scenario in STANDING + TIMED}
