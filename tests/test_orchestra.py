"""Suspicion, scaling, back-off and plan together in a simulated deployment: beats, kills, hangs, slow starts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestra_rules import check
from statelessnf.orchestrator.backoff import Backoff
from statelessnf.orchestrator.levels import Ladder
from statelessnf.orchestrator.model import (
    Desired,
    Forget,
    Health,
    Host,
    Kill,
    Load,
    Observed,
    Place,
    Sighting,
    Start,
    Steer,
    Stop,
)
from statelessnf.orchestrator.plan import plan
from statelessnf.orchestrator.scaling import Scaling, decide
from statelessnf.orchestrator.section import ScalingSection
from statelessnf.orchestrator.suspicion import Suspicion

pytestmark = pytest.mark.beside

STEP = 0.005  # seconds: one beat of each instance
SECTION = ScalingSection(down_s=1.0, cool_down_s=0.5)


@dataclass
class Body:
    """What an instance really is, whatever is believed of it."""

    name: str
    place: Place
    revision: int
    pipes: int
    speaks_from: float  # when it is up
    hung: bool = False
    ends_at: float = float("inf")
    stopping: bool = False
    live_since: float = 0.0


@dataclass
class Orchestra:
    """`load` is in pipes' worths. A round is a beat; it is planned anew if a health changed, or each 50 ms."""

    random: Random
    slots: int = 3
    hosts: tuple[str, ...] = ("a", "b", "c")
    minimum: int = 2
    maximum: int = 6
    spares: int = 0
    most_pipes: int = 1
    revision: int = 1
    load: float = 1.0
    now: float = 10.0
    suspicion: Suspicion = field(default_factory=lambda: Suspicion(0.015))
    backoff: Backoff = field(default_factory=Backoff)
    scaling: Scaling = field(default_factory=lambda: Scaling(2))
    bodies: dict[str, Body] = field(default_factory=dict)
    steered: tuple[str, ...] = ()
    cut: bool = False  # no beat arrives
    dark: int = 0  # rounds in which somebody who got traffic did not carry it
    kinds: list[str] = field(default_factory=list)
    _number: int = 0
    _rounds: int = 0

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            self._rounds += 1
            ended = self._live()
            if self.suspicion.look(self.now) or ended or self._rounds % 10 == 0:
                self._decide()
            self.dark += any(self.bodies[name].hung or self.gone(name) for name in self.steered if name in self.bodies)

    def gone(self, name: str) -> bool:
        return self.suspicion.health(name)[0] is Health.ended

    @property
    def desired(self) -> Desired:
        return Desired(
            self.scaling.size,
            self.spares,
            self.minimum,
            self.maximum,
            self.revision,
            3.0,
            1.0,
            pipes=self.scaling.pipes,
        )

    def observed(self) -> Observed:
        hosts = tuple(Host(name, self.slots, True, self.backoff.not_before(name)) for name in self.hosts)
        return Observed(self.now, hosts, tuple(self._sighting(body) for body in self.bodies.values()), self.steered)

    def _sighting(self, body: Body) -> Sighting:
        health, since = self.suspicion.health(body.name)
        share = self.load / len(self.steered) / body.pipes if body.name in self.steered else 0.0
        work, drops = min(share, 1.0) * body.pipes, max(share - 1, 0) * body.pipes * 1e6
        load = Load(min(share, 1.0), drops, 50.0, work * 1e6, work)
        faults = self.suspicion.faults(body.name, self.now)
        return Sighting(
            body.name, body.place, body.revision, health, since, load,
            faults=faults, stopping=body.stopping, pipes=body.pipes,
        )  # fmt: skip

    def _live(self) -> bool:
        """Whether one of them has ended."""
        news = False
        for body in self.bodies.values():
            if self.now >= body.ends_at and self.suspicion.ended(body.name, self.now):
                news = True
                if not body.stopping:
                    self.backoff.failed(body.place.host, self.now, self.now - body.speaks_from)
            elif self.now >= body.speaks_from and not body.hung and not self.cut:
                for pipe in range(body.pipes):
                    self.suspicion.heard(body.name, pipe, body.pipes, True, self.now)
        return news

    def _decide(self) -> None:
        observed, ladder = self.observed(), Ladder(self.minimum, self.maximum, 1, self.most_pipes)
        self.scaling = decide(self.scaling, SECTION, ladder, observed)
        actions = plan(self.desired, observed)
        check(self.desired, observed, actions)
        for action in actions:
            self.kinds.append(type(action).__name__)
            if isinstance(action, Steer):
                self.steered = action.members
            elif isinstance(action, Start):
                self._start(action)
            elif isinstance(action, Forget):
                del self.bodies[action.name]
                self.suspicion.forget(action.name)
            elif isinstance(action, Stop | Kill):
                self.bodies[action.name].stopping = True
                self.bodies[action.name].ends_at = self.now + self.random.uniform(0.0, 0.3)

    def _start(self, start: Start) -> None:
        if self.random.random() < 0.1:
            self.backoff.failed(start.place.host, self.now)
            return
        self._number += 1
        name = f"i{self._number}"
        up = self.now + self.random.uniform(0.1, 0.6)
        self.bodies[name] = Body(name, start.place, start.revision, start.pipes, up)
        self.suspicion.watch(name, start.pipes, self.now)

    def settled(self) -> bool:
        """All as wanted, and nothing to be done."""
        healths = {self.suspicion.health(name)[0] for name in self.bodies}
        there = len(self.bodies) == self.scaling.size + self.spares
        return healths == {Health.live} and there and not plan(self.desired, self.observed())


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 1), st.integers(1, 2), st.floats(0.5, 3.0))
def test_random_kills_hangs_and_loads_end_well(seed: int, spares: int, pipes: int, load: float) -> None:
    world = Orchestra(Random(seed), spares=spares, most_pipes=pipes)
    world.run(2)
    world.load = load
    for _ in range(12):
        world.run(world.random.uniform(0.0, 0.5))
        body = world.bodies[world.random.choice(sorted(world.bodies))] if world.bodies else None
        match world.random.randrange(4):
            case 0 if body is not None:
                body.ends_at = world.now
            case 1 if body is not None:
                body.hung = True
            case 2:
                world.load = world.random.uniform(0.5, 3.0)
            case 3:
                world.revision += 1
    world.load = load
    world.run(25)
    assert world.settled()
    assert load / world.scaling.level.worth <= SECTION.high
    wanted = (world.revision, world.scaling.pipes)
    assert {(body.revision, body.pipes) for body in world.bodies.values()} == {wanted}
    before = len(world.kinds)
    world.run(3)
    assert len(world.kinds) == before


def test_a_hung_one_is_dark_for_no_longer_than_the_limit() -> None:
    world = Orchestra(Random(1), spares=1)
    world.run(4)
    assert world.settled()
    world.bodies[world.steered[0]].hung = True
    world.run(1)
    assert world.dark * STEP <= world.suspicion.limit + STEP
    assert len(world.steered) == 2


def test_all_beats_lost_and_back_again_costs_at_most_one_instance() -> None:
    world = Orchestra(Random(2), slots=1, load=1.8, maximum=3)
    world.run(10)
    assert world.settled()
    assert len(world.bodies) == 3
    before = set(world.bodies)
    world.cut = True
    world.run(20)
    assert len(before & set(world.bodies)) == 2
    assert set(world.steered) >= before & set(world.bodies)
    world.cut = False
    world.run(10)
    assert world.settled()
    assert len(before & set(world.bodies)) == 2


def test_what_keeps_crashing_is_tried_less_and_less_often() -> None:
    world = Orchestra(Random(3), hosts=("a",), slots=1, minimum=1, maximum=1, scaling=Scaling(1))
    times: list[float] = []
    while len(times) < 6:
        world.run(STEP)
        for body in world.bodies.values():
            if body.ends_at > world.now and world.now >= body.speaks_from and not body.stopping:
                body.ends_at = world.now
                times.append(world.now)
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits[-1] > 8
    assert waits == sorted(waits)


@pytest.mark.parametrize("pipes", [1, 2])
def test_scale_out_and_in_and_upgrade_lose_nothing(pipes: int) -> None:
    """Nobody gets traffic that does not carry it, at any moment."""
    world = Orchestra(Random(4), most_pipes=pipes)
    world.run(3)
    for world.load in (0.5, 3.0, 2.0, 0.5):
        world.run(12)
        world = replace(world, revision=world.revision + 1)
    world.run(5)
    assert world.settled()
    assert world.dark == 0
    assert world.kinds.count("Start") > 12
