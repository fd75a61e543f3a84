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
    """Carriers that share a load, in pipes' worths. They follow the wanted level after `delay` seconds.

    `bursts`: from this share on, in pipes' worths, some packets are dropped although a pipe has time left; `heavy`: a
    flow beside the load that one pipe has to bear alone; `lag`: seconds for which new ones say nothing of their load.
    `sizes`: pipes of all instances together, as wanted.
    """

    minimum: int = 1
    maximum: int = 8
    most_pipes: int = 1
    section: ScalingSection = SECTION
    delay: float = 0.3
    bursts: float = 1.0
    slow: float = 0.0  # microseconds in an instance at full load
    heavy: float = 0.0
    lag: float = 0.0
    now: float = 100.0
    state: Scaling = field(default_factory=lambda: Scaling(1))
    carriers: int = 1
    pipes: int = 1
    sizes: list[int] = field(default_factory=lambda: [1])
    silent: int = 0
    missing: int = 0
    _since: float = 100.0
    _replaced: float = 0.0

    def observed(self, load: float) -> Observed:
        there = max(self.carriers - self.missing, 0)
        share = load / there / self.pipes if there else 0.0
        each, first = ([share] * self.pipes, [share + self.heavy] + [share] * (self.pipes - 1))
        some = [self._seen(n, each if n else first) for n in range(there)]
        return Observed(self.now, (), tuple(some), tuple(one.name for one in some))

    def _seen(self, number: int, shares: list[float]) -> Sighting:
        """What an instance says, each of whose pipes has such a share to bear."""
        health = Health.suspected if number < self.silent else Health.live
        drops = sum(max(share - 1.0, 0.0) * 1e6 + (share * 1e4 if share > self.bursts else 0.0) for share in shares)
        busy = [min(share, 1.0) for share in shares]
        busy = [0.0] if self.now - self._replaced < self.lag else busy
        load = Load(max(busy), drops, self.slow * max(shares), sum(shares) * 1e6 - drops, sum(busy))
        return Sighting(f"i{number}", Place("h", number), 1, health, self._replaced, load, pipes=len(shares))

    def run(self, load: float, seconds: float) -> int:
        """Returns the pipes of all instances that are wanted at the end."""
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            before, self.state = (
                self.state,
                decide(self.state, self.section, self.ladder, self.observed(load)),
            )
            if before.level != self.state.level:
                self.sizes.append(self.state.level.worth)
                self._since = self.now
            if self.now >= self._since + self.delay:
                self._replaced = self._replaced if self.pipes == self.state.pipes else self.now
                self.carriers, self.pipes = self.state.size, self.state.pipes
        return self.state.level.worth

    def rest(self, load: float) -> None:
        """Until nothing changes any more, for ten seconds."""
        before = 0
        for _ in range(25):
            before = len(self.sizes)
            self.run(load, 10)
            if len(self.sizes) == before:
                return
        raise AssertionError(f"it never rests: {self.sizes}")

    @property
    def ladder(self) -> Ladder:
        return Ladder(self.minimum, self.maximum, 1, self.most_pipes)

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
    first, pipes = draw(st.integers(1, 10)), draw(st.integers(1, 4))
    crowd = Crowd(
        minimum,
        maximum,
        draw(st.integers(1, 4)),
        section,
        delay=draw(st.sampled_from([0.0, 0.3, 2.0])),
        bursts=draw(st.sampled_from([0.05, 0.4, 1.0])),
        slow=draw(st.sampled_from([0.0, 100.0, 500.0])),
        lag=draw(st.sampled_from([0.0, 1.2])),
        heavy=draw(st.sampled_from([0.0, 0.5, 0.9, 1.5])),
        state=Scaling(first, pipes),
        carriers=first,
        pipes=pipes,
    )
    crowd.sizes = [first * pipes]
    return crowd


@settings(max_examples=60, deadline=None)
@given(crowds(), st.floats(0, 12))
def test_a_steady_load_leads_to_few_changes_and_then_none(crowd: Crowd, load: float) -> None:
    crowd.rest(load)
    assert crowd.ladder.within(crowd.state.level) == crowd.state.level
    before = len(crowd.sizes)
    crowd.run(load, 15)
    assert len(crowd.sizes) == before
    assert turns(crowd.changes) <= 2


def test_pipes_come_before_instances_and_go_after_them() -> None:
    crowd, levels = Crowd(maximum=3, most_pipes=3, delay=0.0), []
    for load in (0.1, 0.8, 1.5, 2.2, 4.3, 2.6, 1.7, 0.8, 0.5, 0.2):
        crowd.rest(load)
        levels.append((crowd.state.size, crowd.state.pipes))
    assert levels == [(1, 1), (1, 2), (1, 3), (2, 3), (3, 3), (3, 3), (2, 3), (1, 3), (1, 2), (1, 1)]


def test_one_large_flow_is_not_taken_apart_by_more_and_more_pipes() -> None:
    crowd = Crowd(most_pipes=8, heavy=0.95)
    crowd.rest(0.05)
    assert crowd.state.level.worth <= 4  # by then, the average pipe has little to do
    before = list(crowd.sizes)
    crowd.run(0.05, 100)
    assert crowd.sizes == before


def test_a_pipe_that_has_far_more_than_the_others_is_a_reason() -> None:
    crowd = Crowd(most_pipes=4, heavy=0.5, state=Scaling(1, 2), pipes=2, sizes=[2])
    crowd.run(0.5, 3)
    assert crowd.sizes == [2, 3]
    assert "0.75 of the busiest pipe" in crowd.state.why


def test_those_that_have_just_come_do_not_look_idle() -> None:
    crowd = Crowd(most_pipes=2, lag=1.2, section=ScalingSection(down_s=0.0, cool_down_s=0.0))
    crowd.run(0.8, 30)
    assert crowd.sizes == [1, 2]


def test_the_worth_of_an_operator_s_own_level_is_kept_on_the_way() -> None:
    """Three of one pipe each are on no ladder that begins with pipes."""
    crowd = Crowd(most_pipes=4, state=Scaling(3), carriers=3, sizes=[3], delay=0.0)
    crowd.run(2.4, 2)
    assert (crowd.state.size, crowd.state.pipes) == (3, 2)


def test_pipes_that_have_not_come_yet_are_counted_and_their_want_is_no_reason() -> None:
    crowd = Crowd(most_pipes=2, state=Scaling(1, 2), sizes=[2], delay=1000.0)
    assert crowd.run(1.0, 30) == 2
    crowd.bursts = 0.5
    assert crowd.run(1.0, 30) == 2


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
