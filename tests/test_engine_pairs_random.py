"""Functions that rewrite, at random: several real engines over a simulated store are one NAT, or one load balancer.

Hypothesis writes scripts of moves: packets of hosts that want the same outer port, answers to what was really seen
leaving, errors about it, packets that nobody asked for, at any instance; steps, the store's turns, deliveries, waits
until records end, cut connections, crashes, a full store, servers that die. pairs_world.py judges each packet and each
commit on the way. At the end every packet must have an end, every record both of its keys, and the loads of servers
must be the connections that there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from engine_moves import ACTS
from engine_world import Sample
from pairs_subject import deadline
from pairs_timers import expire_due
from pairs_traffic import (
    answer_to,
    balancer_opening,
    balancer_stray,
    balancer_subject,
    nat_opening,
    nat_stray,
    nat_subject,
)
from pairs_world import PairsWorld

pytestmark = pytest.mark.beside

MOST_PACKETS = 50
MODES = ("off", "tracked")
OFTEN = {"open": 6, "answer": 4, "round": 5, "step": 3, "serve": 2, "deliver": 2, "wait": 2, "calm": 1}
KINDS = [kind for kind, often in OFTEN.items() for _ in range(often)]
KINDS += ["stray", "again", "cut", "connect", "connect", "connect", "crash", "memory", "late", "swap", "expire"]
WAITS = (500, 50_000, 300_000, 1_200_000, 61_000_000, 130_000_000, 290_000_000)  # us; the last ends most flows
Move = tuple[int, int, int]
# An instance sleeps with packets of a flow in hand until its record has ended and another flow has its port.
SLEPT = [(0, 0, 0)] * 5 + [(0, 141, 0)] + [(0, 0, 0)] * 6 + [(0, 0, 116), (0, 116, 0), (10, 0, 0), (10, 254, 0)]
SLEPT += [(0, 0, 50), (22, 0, 4), (22, 0, 90), (10, 0, 0)]
Open = Callable[[int], Sample]

RANDOM = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
numbers = st.integers(0, 255)
scripts = st.lists(st.tuples(st.integers(0, len(KINDS) - 1), numbers, numbers), min_size=20, max_size=80)


class Player:
    """Carries a script out on a world."""

    def __init__(self, world: PairsWorld, opening: Open, stray: Open) -> None:
        self.world, self._opening, self._stray = world, opening, stray

    def play(self, script: Sequence[Move]) -> None:
        """Then everything comes to an end."""
        world = self.world
        self.warm()
        for kind, where, value in script:
            node = where % len(world.nodes)
            note(f"{KINDS[kind]} {node} {value}")
            packet = self._packet(KINDS[kind], value)
            if packet is not None and len(world.journeys) < MOST_PACKETS:
                world.send(node, packet)
            elif packet is None:
                self._act(KINDS[kind], node, value)
        world.settle()

    def warm(self) -> None:
        """A flow has a record, which every instance has asked for often enough to keep it in its cache."""
        for node in [0, *range(len(self.world.nodes))] * 2:
            self.world.send(node, self._opening(0))
            for _ in range(3):
                self.world.round(node)
        self.world.send(0, answer_to(self.world.journeys[-1], 2))
        self.world.round(0)

    def _packet(self, kind: str, value: int) -> Sample | None:
        departures = list(self.world.departures.values())
        if kind == "stray":
            return self._stray(value)
        if kind == "answer" and departures:
            return answer_to(departures[-1 - value // 8 % min(len(departures), 6)], value)
        if kind == "again" and self.world.journeys:
            return self.world.journeys[-1 - value % len(self.world.journeys)].sample
        return self._opening(value) if kind in ("open", "answer", "again") else None

    def _act(self, kind: str, node: int, value: int) -> None:
        world = self.world
        if kind == "wait":
            world.wait(WAITS[value % len(WAITS)])
        elif kind == "swap":
            world.swap(node, value % len(world.subject.versions))
        elif kind == "expire":
            expire_due(world)
        else:
            ACTS[kind](world, node, value)


def check(world: PairsWorld) -> None:
    """AssertionError for what must not be, now that nothing is under way."""
    assert not world.problems, world.problems
    assert all(journey.verdict for journey in world.journeys)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("filtering", ["address-and-port", "endpoint-independent"])
@RANDOM
@given(script=scripts, nodes=st.integers(2, 3))
@example(script=SLEPT, nodes=3)
def test_many_instances_are_one_nat(mode: str, filtering: str, script: list[Move], nodes: int) -> None:
    world = PairsWorld(nat_subject(filtering), mode, nodes)
    Player(world, nat_opening, nat_stray).play(script)
    check(world)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("on_server_down", ["reset", "move"])
@RANDOM
@given(script=scripts, nodes=st.integers(2, 3))
def test_many_instances_are_one_load_balancer(mode: str, on_server_down: str, script: list[Move], nodes: int) -> None:
    world = PairsWorld(balancer_subject(on_server_down), mode, nodes)
    Player(world, balancer_opening, balancer_stray).play(script)
    expire_due(world)
    check(world)
    assert loads(world) == connections(world)
    world.wait(10**9 * 3600)
    expire_due(world)
    assert not loads(world), "connections are counted that have ended"


def loads(world: PairsWorld) -> Counter[int]:
    """What the store counts, by server."""
    counted: Counter[int] = Counter()
    for counters in world.server.functions.counters.values():
        for name, number in counters.items():
            counted[int.from_bytes(name, "little")] += number
    return counted


def connections(world: PairsWorld) -> Counter[int]:
    """What its records say, of those that live."""
    alive = {value for value in world.server.values.values() if deadline(value) >= world.now_ms}
    rows = [world.subject.row(value) for value in alive]
    return Counter(int(row["server"]) for row in rows if row["counted"])
