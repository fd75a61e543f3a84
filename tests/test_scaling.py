"""Scaling follows the load, and leaves a steady one alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statelessnf.orchestrator.levels import Ladder
from statelessnf.orchestrator.model import Health, Load, Observed, Place, Sighting
from statelessnf.orchestrator.scaling import Scaling, decide
from statelessnf.orchestrator.section import ScalingSection

pytestmark = pytest.mark.beside

STEP = 0.1  # seconds
SECTION = ScalingSection()


@dataclass
class Crowd:
    """Carriers that share a load, in instances' worths. They follow the wanted size after `delay` seconds.

    `bursts`: from this share on, in instances' worths, some packets are dropped although a pipe has time left.
    """

    minimum: int = 1
    maximum: int = 8
    section: ScalingSection = SECTION
    delay: float = 0.3
    bursts: float = 1.0
    slow: float = 0.0  # microseconds in an instance at full load
    now: float = 100.0
    state: Scaling = field(default_factory=lambda: Scaling(1))
    carriers: int = 1
    sizes: list[int] = field(default_factory=lambda: [1])
    silent: int = 0
    missing: int = 0
    _since: float = 100.0

    def observed(self, load: float) -> Observed:
        there = max(self.carriers - self.missing, 0)
        share = load / there if there else 0.0
        drops = max(share - 1.0, 0.0) * 1e6 + (share * 1e4 if share > self.bursts else 0.0)
        each = Load(min(share, 1.0), drops, self.slow * share, share * 1e6 - drops, min(share, 1.0))
        healths = [Health.suspected if number < self.silent else Health.live for number in range(there)]
        some = [Sighting(f"i{n}", Place("h", n), 1, health, 0.0, each) for n, health in enumerate(healths)]
        return Observed(self.now, (), tuple(some), tuple(one.name for one in some))

    def run(self, load: float, seconds: float) -> int:
        """Returns the size at the end."""
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            before, self.state = (
                self.state,
                decide(self.state, self.section, Ladder(self.minimum, self.maximum), self.observed(load)),
            )
            if before.size != self.state.size:
                self.sizes.append(self.state.size)
                self._since = self.now
            if self.now >= self._since + self.delay:
                self.carriers = self.state.size
        return self.state.size

    @property
    def changes(self) -> list[int]:
        return [later - earlier for earlier, later in pairwise(self.sizes)]


def turns(changes: list[int]) -> int:
    """How many times it went up after down, or down after up."""
    return sum((one > 0) != (two > 0) for one, two in pairwise(changes))


@st.composite
def crowds(draw: st.DrawFn) -> Crowd:
    low = draw(st.floats(0.0, 0.8))
    section = ScalingSection(
        low=low,
        high=draw(st.floats(low + 0.05, 1.0)),
        up_s=draw(st.sampled_from([0.0, 0.2, 1.0])),
        down_s=draw(st.sampled_from([0.0, 0.2, 3.0])),
        cool_down_s=draw(st.sampled_from([0.0, 0.2, 1.0])),
        latency_us=draw(st.sampled_from([0.0, 50.0])),
    )
    minimum = draw(st.integers(1, 3))
    maximum = draw(st.integers(minimum, 10))
    first = draw(st.integers(1, 10))
    crowd = Crowd(
        minimum,
        maximum,
        section,
        delay=draw(st.sampled_from([0.0, 0.3, 2.0])),
        bursts=draw(st.sampled_from([0.05, 0.4, 1.0])),
        slow=draw(st.sampled_from([0.0, 100.0, 500.0])),
        state=Scaling(first),
        carriers=first,
    )
    crowd.sizes = [first]
    return crowd


@settings(max_examples=60, deadline=None)
@given(crowds(), st.floats(0, 12))
def test_a_steady_load_leads_to_few_changes_and_then_none(crowd: Crowd, load: float) -> None:
    crowd.run(load, 40)
    assert all(crowd.minimum <= size <= crowd.maximum for size in crowd.sizes[1:])
    before = len(crowd.sizes)
    crowd.run(load, 10)
    assert len(crowd.sizes) == before
    assert turns(crowd.changes) <= 2


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.1, 5.0), min_size=1, max_size=4))
def test_it_follows_the_load_up_and_down(loads: list[float]) -> None:
    crowd = Crowd(section=ScalingSection(down_s=1.0))
    for load in loads:
        size = crowd.run(load, 25)
        assert load / size <= SECTION.high
        assert size == 1 or load / (size - 1) >= SECTION.low


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.1, 0.1), min_size=50, max_size=50), st.sampled_from([0.5, 1.5, 2.5]))
def test_noise_of_a_tenth_does_not_make_it_flap(noise: list[float], load: float) -> None:
    crowd = Crowd()
    crowd.run(load, 40)
    before = len(crowd.sizes)
    for share in noise:
        crowd.run(load * (1 + share), 0.4)
    assert turns(crowd.changes[before - 1 :]) == 0


def test_a_ramp_is_followed_in_time_and_an_idle_deployment_shrinks() -> None:
    crowd = Crowd()
    for load in range(1, 50):
        crowd.run(load / 10, 1.0)
        assert crowd.carriers >= load / 10 * 0.98
    for load in range(50, 0, -1):
        crowd.run(load / 10, 4.0)
        assert crowd.carriers >= load / 10
    assert crowd.run(0.05, 60) == 1


def test_a_sudden_load_is_met_at_once_not_one_by_one() -> None:
    crowd = Crowd()
    crowd.run(0.1, 2.0)
    crowd.run(4.0, 0.4)
    assert crowd.sizes == [1, 8]
    assert "above 0.7" in crowd.state.why


def test_high_must_last_and_changes_rest() -> None:
    crowd = Crowd(delay=0.0)
    crowd.run(0.3, 2)
    crowd.run(0.9, 0.2)
    assert crowd.sizes == [1]
    crowd.run(0.9, 0.2)
    assert crowd.sizes == [1, 2]
    crowd.run(1.9, 0.9)
    assert crowd.sizes == [1, 2]
    crowd.run(1.9, 0.4)
    assert crowd.sizes == [1, 2, 4]
    crowd.run(0.1, 2.9)
    assert crowd.sizes == [1, 2, 4]
    crowd.run(0.1, 0.4)
    assert crowd.sizes == [1, 2, 4, 3]


def test_drops_add_an_instance_that_stays_until_there_is_less_load() -> None:
    crowd = Crowd(bursts=0.15)
    assert crowd.run(0.2, 60) == 2
    assert "dropped" in crowd.state.why
    assert crowd.run(0.17, 60) == 2
    assert crowd.run(0.14, 60) == 1
    assert crowd.sizes == [1, 2, 1]


def test_latency_counts_where_it_is_set() -> None:
    crowd = Crowd(slow=1000.0)
    assert crowd.run(0.3, 10) == 1
    crowd.section = ScalingSection(latency_us=200)
    assert crowd.run(0.3, 10) == 2


@pytest.mark.parametrize("load", [0.05, 2.0])
def test_nothing_is_decided_while_a_carrier_is_silent_or_nobody_carries(load: float) -> None:
    crowd = Crowd(minimum=1, state=Scaling(2), carriers=2, sizes=[2])
    crowd.silent = 1
    assert crowd.run(load, 30) == 2
    crowd.silent, crowd.missing = 0, 2
    assert crowd.run(load, 30) == 2
    unknown = replace(crowd.observed(load), steered=None)
    assert decide(crowd.state, SECTION, Ladder(1, 8), unknown).size == 2


def test_load_taken_over_from_a_lost_one_is_no_reason() -> None:
    """Two at 0.5 of three remain, each with 0.75; they drop packets, too."""
    crowd = Crowd(state=Scaling(3), carriers=3, sizes=[3], bursts=0.6)
    crowd.run(1.5, 5)
    crowd.missing = 1
    assert crowd.run(1.5, 30) == 3


def test_carriers_that_are_full_may_have_more_work_than_is_seen() -> None:
    """One of eight carries, all that it can: that does not say that eight are too many."""
    crowd = Crowd(state=Scaling(8), carriers=1, sizes=[8], delay=1000.0)
    assert crowd.run(1.0, 30) == 8


def test_off_it_only_keeps_within_minimum_and_maximum() -> None:
    section = ScalingSection(enabled=False)
    crowd = Crowd(section=section, minimum=2)
    assert crowd.run(5.0, 10) == 2
    crowd.minimum, crowd.maximum = 1, 1
    assert crowd.run(5.0, 10) == 1
