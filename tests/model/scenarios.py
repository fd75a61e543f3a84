"""What is searched: small worlds, each the least in which some rules can be seen to matter.

A scenario names its packets, its faults and its clock; all interleavings of it are searched. `off` lists rules that are
switched off. `stale_limit` None: the clock stands still and unchanged FORWARD may lag as long as a push is under way.
"""

from __future__ import annotations

from typing import NamedTuple

from .functions import Firewall, Function, Packet, Reassembly
from .messages import Record
from .moment import Instance, Moment, Trace
from .pairs import Balancer, Nat, Pair
from .store import Store

BEFORE = (9, 0)  # nonce of records that stand there from the start


class Scenario(NamedTuple):
    """One world. `start`: records that stand there, under the keys that they name; `warm`: both instances have them in
    their caches."""

    name: str
    function: Function
    packets: tuple[Packet, ...]
    cache: bool = True
    start: tuple[Record, ...] = ()
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
        standing = {key: record for record in self.start for key in self.function.places(record.state)}
        records = tuple(standing.get(key) for key in range(keys))
        cache = records if self.warm else (None,) * keys
        tracked = frozenset((who, key) for who in (0, 1) for key in standing if self.warm)
        nonces = frozenset(record.nonce for record in self.start)
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
    Scenario("closing-cut", Firewall(), CLOSING, cache=False, start=(HALF,), cuts=1),
    Scenario("nat", Nat(), OUT, cache=False),
    Scenario("nat-in", Nat(), OUT_AND_IN, cache=False, crashes=1),
    Scenario("park", Reassembly(), PIECES, cache=False),
    Scenario("park-crash", Reassembly(), RETRANSMITTED, cache=False, crashes=1),
)

# A clock: staleness, deadlines, refreshes.
TIMED = (
    Scenario("stale", Firewall(), CLOSING, start=(HALF,), warm=True, ticks=1, stale_limit=0, in_order=True),
    Scenario("half-open", Firewall(), CLOSING[1:], start=(ESTABLISHED,), warm=True, cuts=1, half_open=True, ticks=1,
             stale_limit=0),
    Scenario("refresh", Firewall(), REFRESH, cache=False, start=(Record("est", BEFORE, 3),), ticks=2, refreshes=True,
             in_order=True),
    Scenario("refresh-tracked", Firewall(), REFRESH_TRACKED, start=(Record("est", BEFORE, 2),), warm=True, ticks=1,
             stale_limit=0, refreshes=True, in_order=True),
)  # fmt: skip


def pair(*kinds: str) -> tuple[Packet, ...]:
    """Packets of a pair: a kind and a number."""
    return tuple(Packet(kind, int(number)) for kind, number in (k.split() for k in kinds))


OPEN, HALF_CLOSED = Record(Pair(0, 0, "open"), BEFORE, FAR), Record(Pair(0, 0, "fin"), BEFORE, FAR)
TAKER = Record(Pair(1, 1, "open"), (9, 1), 0)  # dead, and stands where a flow would move to
ENDING = (OPEN._replace(deadline=1), TAKER._replace(deadline=1))


def ending(deadline: int) -> tuple[Record, ...]:
    """Two flows that end then; each has the port that the other will be given first."""
    return Record(Pair(0, 1, "open"), BEFORE, deadline), Record(Pair(1, 0, "open"), (9, 1), deadline)


# Rule 5 for records that exist, and rule 12 for both entries.
PAIRS = (
    Scenario("pair", Nat(), pair("fin 0", "ack 0", "in 0"), cache=False, start=(OPEN,)),
    Scenario("pair-cut", Nat(), pair("fin 0", "ack 0", "in 0"), cache=False, start=(OPEN,), cuts=1),
    Scenario("pair-warm", Nat(), pair("ack 0", "out 0", "in 0"), start=(HALF_CLOSED,), warm=True, ticks=1,
             stale_limit=0, in_order=True),
    Scenario("pair-cold", Nat(), pair("ack 0", "out 0", "out 0"), start=(HALF_CLOSED,), ticks=1, stale_limit=0,
             in_order=True),
    Scenario("pair-refresh", Nat(), pair("out 0", "in 0"), cache=False, start=(OPEN._replace(deadline=2),), ticks=2,
             refreshes=True),
)  # fmt: skip

# Rule 5 for records past their deadline.
DEAD = (
    Scenario("dying", Nat(), pair("fin 1", "out 0"), cache=False, start=ending(1), ticks=1),
    Scenario("dying-race", Nat(), pair("out 0", "out 1"), cache=False, start=ending(1), ticks=1, in_order=True),
    Scenario("dead-timed", Balancer(), pair("out 0", "out 1", "in 0"), cache=False, start=ending(0)[1:], in_order=True),
    Scenario("dead-cut", Balancer(), pair("out 0", "out 1"), cache=False, start=ending(0)[1:], cuts=1),
)

# Rule 5 for flows that get another partner.
MOVES = (
    Scenario("move", Balancer(), pair("move 0", "in 0", "in 1"), cache=False, start=(OPEN,), cuts=1),
    Scenario("move-change", Balancer(), pair("move 0", "ack 0", "in 1"), cache=False, start=(HALF_CLOSED,)),
    Scenario("move-warm", Balancer(), pair("move 0", "in 0"), start=(OPEN,), warm=True, ticks=1, stale_limit=0),
    Scenario("move-taken", Balancer(), pair("move 0", "out 1", "in 1"), cache=False, start=(OPEN,)),
    Scenario("move-dead", Balancer(), pair("move 0", "out 1", "in 1"), cache=False, start=(OPEN, TAKER), in_order=True),
    Scenario("move-dying", Balancer(), pair("move 0", "out 1"), cache=False, start=ENDING, ticks=1, in_order=True),
)

SCENARIOS = {scenario.name: scenario for scenario in STANDING + TIMED + PAIRS + DEAD + MOVES}
