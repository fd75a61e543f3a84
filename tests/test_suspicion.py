"""Instances are suspected in time, never for a pause of the one who watches, and come back by their beats."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count, pairwise
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statelessnf.orchestrator.backoff import MOST, Backoff
from statelessnf.orchestrator.model import Health
from statelessnf.orchestrator.suspicion import FAULT_SECONDS, GUARD, PUNCTUAL, SETTLED, Change, Suspicion

pytestmark = pytest.mark.beside

BEAT, LIMIT = 0.005, 0.015


def live(pipes: int = 1, names: str = "a") -> Suspicion:
    suspicion = Suspicion(LIMIT)
    for name in names:
        suspicion.watch(name, pipes, 0.0)
        for pipe in range(pipes):
            suspicion.heard(name, pipe, pipes, True, 0.0)
    assert {change.health for change in suspicion.look(0.0)} == {Health.live}
    return suspicion


def guarded(pipes: int, names: str) -> Suspicion:
    """Whose silence others' beats find."""
    suspicion = live(pipes, names)
    suspicion.guard(0.0)
    return suspicion


def test_starting_until_each_pipe_has_its_store() -> None:
    suspicion = Suspicion(LIMIT)
    suspicion.watch("a", 2, 0.0)
    assert suspicion.next_deadline == inf
    assert not suspicion.heard("a", 0, 2, True, 1.0)
    assert not suspicion.heard("a", 1, 2, False, 1.0)
    assert suspicion.look(1.0) == ()
    assert suspicion.heard("a", 1, 2, True, 1.004)
    assert suspicion.look(1.004) == (Change("a", Health.live),)
    assert suspicion.health("a") == (Health.live, 1.004)
    assert suspicion.next_deadline == pytest.approx(1.0 + LIMIT)


def test_the_doomed_are_suspected_at_once_and_never_live_again() -> None:
    suspicion = live(names="ab")
    assert suspicion.doom("a", 0.001) == Change("a", Health.suspected)
    assert suspicion.doom("a", 0.001) is None
    assert suspicion.doom("nobody", 0.001) is None
    assert not suspicion.heard("a", 0, 1, True, 0.002)
    assert suspicion.look(0.002) == ()
    assert suspicion.health("a") == (Health.suspected, 0.001)
    assert suspicion.awaited() == {"b": 1}


def test_one_that_is_doomed_before_it_lives_never_does() -> None:
    suspicion = Suspicion(LIMIT)
    suspicion.watch("a", 1, 0.0)
    assert suspicion.doom("a", 0.001) is None
    assert not suspicion.heard("a", 0, 1, True, 0.002)
    assert suspicion.look(0.002) == ()
    assert suspicion.health("a") == (Health.starting, 0.0)


def test_one_silent_pipe_is_enough_and_each_must_be_heard_again() -> None:
    suspicion = live(2)
    for beat in range(1, 4):
        suspicion.heard("a", 0, 2, True, beat * BEAT)
    assert suspicion.next_deadline == LIMIT
    assert suspicion.look(LIMIT) == (Change("a", Health.suspected, 1, LIMIT),)
    assert suspicion.next_deadline == inf
    assert not suspicion.heard("a", 0, 2, True, 0.016)
    assert suspicion.look(0.016) == ()
    assert suspicion.heard("a", 1, 2, False, 0.017)  # it lost its store, not its life
    assert suspicion.look(0.017) == (Change("a", Health.live),)
    assert suspicion.faults("a", 0.02) == 1
    assert suspicion.faults("a", LIMIT + FAULT_SECONDS + 0.001) == 0


def test_beats_from_before_the_suspicion_bring_nobody_back() -> None:
    suspicion = live(2)
    suspicion.heard("a", 0, 2, True, 0.0149)
    suspicion.look(LIMIT)
    assert not suspicion.heard("a", 1, 2, True, 0.016)


def test_pipes_come_and_go() -> None:
    suspicion = live(1)
    suspicion.heard("a", 0, 2, True, 0.01)
    suspicion.heard("a", 0, 2, True, 0.024)
    assert suspicion.look(0.0151) == ()
    assert suspicion.next_deadline == pytest.approx(0.025)  # the new one was expected from its first mention
    suspicion.heard("a", 0, 1, True, 0.024)
    assert suspicion.look(0.025) == ()
    assert suspicion.next_deadline == pytest.approx(0.039)


def test_adopted_ones_live_unless_they_fall_silent() -> None:
    suspicion = Suspicion(LIMIT)
    suspicion.watch("a", 2, 1.0, adopted=True)
    assert suspicion.next_deadline == 1.0 + LIMIT
    assert suspicion.health("a") == (Health.live, 1.0)
    assert [change.health for change in suspicion.look(1.0 + LIMIT)] == [Health.suspected]


def test_the_end_is_final_and_strangers_are_nobody() -> None:
    suspicion = live()
    assert suspicion.ended("a", 0.001)
    assert not suspicion.ended("a", 0.002)
    assert not suspicion.heard("a", 0, 1, True, 0.002)
    assert suspicion.look(0.1) == ()
    assert suspicion.next_deadline == inf
    suspicion.forget("a")
    assert not suspicion.heard("a", 0, 1, True, 0.2)
    assert not suspicion.ended("a", 0.2)
    with pytest.raises(KeyError):
        suspicion.health("a")


def test_a_late_look_suspects_nobody_for_as_long_again() -> None:
    suspicion = live(1, "ab")
    late = LIMIT + 0.008
    assert suspicion.look(late) == ()
    assert suspicion.next_deadline == pytest.approx(late + 0.008)
    suspicion.heard("a", 0, 1, True, late + 0.003)
    assert [change.name for change in suspicion.look(suspicion.next_deadline)] == ["b"]


def test_what_others_told_is_judged_at_once_if_they_were_heard_all_along() -> None:
    suspicion = guarded(1, "abc")
    late = LIMIT + 0.008
    suspicion.heard("a", 0, 1, True, late - 0.005)
    suspicion.heard("b", 0, 1, True, late - 0.001)
    assert [change.name for change in suspicion.look(late)] == ["c"]


def test_what_others_told_waits_for_those_held_up_with_who_was_just_heard() -> None:
    suspicion = guarded(1, "abc")
    late = LIMIT + 0.008
    suspicion.heard("a", 0, 1, True, late - 0.001)
    assert suspicion.look(late) == ()
    assert suspicion.next_deadline == pytest.approx(late - 0.001 + SETTLED)
    suspicion.heard("b", 0, 1, True, late + 0.0005)
    assert [change.name for change in suspicion.look(suspicion.next_deadline)] == ["c"]


def test_another_pipe_of_the_silent_one_is_evidence_enough() -> None:
    suspicion = guarded(2, "a")
    suspicion.heard("a", 0, 2, True, LIMIT)
    assert suspicion.look(LIMIT + 0.004) == (Change("a", Health.suspected, 1, LIMIT + 0.004),)


def test_who_was_heard_before_a_pause_is_no_evidence() -> None:
    suspicion = guarded(1, "ab")
    suspicion.heard("b", 0, 1, True, 0.004)
    assert suspicion.look(LIMIT + 0.0025) == ()
    assert suspicion.next_deadline == pytest.approx(2 * LIMIT + 0.0025)


def test_grace_is_never_more_than_the_limit() -> None:
    suspicion = live()
    suspicion.look(60.0)
    assert suspicion.next_deadline == pytest.approx(60.0 + LIMIT)
    assert suspicion.look(60.0 + LIMIT) != ()


def test_a_look_is_spared_only_while_nobody_can_be_silent() -> None:
    suspicion = live(2, "ab")
    assert suspicion.awaited() == {"a": 2, "b": 2}
    assert suspicion.spared(0.010, 0.014)
    assert suspicion.next_deadline == pytest.approx(0.025)
    assert not suspicion.spared(0.010, 0.025)
    assert suspicion.next_deadline == pytest.approx(0.025)
    assert suspicion.spared(0.032, 0.034)  # late
    assert suspicion.next_deadline == pytest.approx(0.032 + LIMIT)
    assert suspicion.spared(0.041, 0.055)  # late: nobody is suspected for as long again
    assert suspicion.next_deadline == pytest.approx(0.055 + 0.008)


def test_a_look_that_nobody_asked_for_is_spared_only_if_all_were_heard_lately() -> None:
    suspicion = guarded(1, "ab")
    assert not suspicion.spared(0.141, 0.155)  # later than GUARD, and somebody was not: it is for `look` to judge
    assert suspicion.spared(0.149, 0.155)


def test_while_others_tell_of_silence_looks_are_few_and_judged_like_late_ones() -> None:
    suspicion = live(1, "abc")
    assert suspicion.spared(0.001, 0.002)
    suspicion.guard(0.002)
    assert suspicion.next_deadline == pytest.approx(0.002 + GUARD)
    suspicion.heard("a", 0, 1, True, LIMIT - 0.0001)  # it told: the first one after a standstill, perhaps
    assert suspicion.look(LIMIT) == ()
    assert suspicion.next_deadline == pytest.approx(LIMIT - 0.0001 + SETTLED)
    suspicion.heard("b", 0, 1, True, LIMIT + 0.001)
    assert [change.name for change in suspicion.look(suspicion.next_deadline)] == ["c"]
    assert not suspicion.guarded


def test_if_nobody_was_left_to_tell_of_silence_there_is_grace_once() -> None:
    suspicion = live(1, "ab")
    suspicion.guard(0.0)
    assert suspicion.look(GUARD) == ()
    assert suspicion.next_deadline == pytest.approx(GUARD + LIMIT)
    assert len(suspicion.look(GUARD + LIMIT)) == 2


def test_a_change_of_those_who_are_awaited_is_seen() -> None:
    suspicion = live(1, "ab")
    seen = [(suspicion.generation, suspicion.awaited())]
    for change in (
        lambda: suspicion.heard("a", 0, 2, True, 0.001),
        lambda: suspicion.ended("b", 0.002),
        lambda: suspicion.watch("c", 1, 0.003, adopted=True),
        lambda: suspicion.look(LIMIT + 0.001),
        lambda: suspicion.watch("d", 1, 0.02, adopted=True),
        lambda: suspicion.forget("d"),
    ):
        change()
        seen.append((suspicion.generation, suspicion.awaited()))
    assert all(before[0] != after[0] for before, after in pairwise(seen))
    assert [awaited for _, awaited in seen] == [
        {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 2}, {"a": 2, "c": 1}, {"c": 1}, {"c": 1, "d": 1}, {"c": 1},
    ]  # fmt: skip


def test_one_who_is_always_late_still_sees_the_dead() -> None:
    suspicion, now = live(), 0.0
    for _ in range(20):
        now = suspicion.next_deadline + 0.004
        if suspicion.look(now):
            break
    assert now <= 6 * LIMIT


def test_grace_is_given_again_after_a_look_in_time() -> None:
    suspicion, now = live(), 0.0
    for _ in range(5):
        now = suspicion.next_deadline + LIMIT
        assert suspicion.look(now) == ()  # late
        now = suspicion.next_deadline
        suspicion.heard("a", 0, 1, True, now)
        assert suspicion.look(now) == ()
        now = suspicion.next_deadline - BEAT
        suspicion.heard("a", 0, 1, True, now)
        assert suspicion.look(now) == ()
    assert suspicion.health("a")[0] is Health.live


@dataclass
class Wire:
    """Beats on their way to an orchestrator that sleeps now and then; instances pause and die."""

    suspicion: Suspicion = field(default_factory=lambda: Suspicion(LIMIT))
    changes: list[tuple[float, Change]] = field(default_factory=list)

    def run(self, pauses: dict[int, list[tuple[float, float]]], sleeps: list[tuple[float, float]], end: float) -> None:
        """`pauses` of each instance and `sleeps` of the orchestrator: from, to."""
        queue: list[tuple[float, int, int, float]] = []  # when it is read, tie, instance, when it is sent next
        ties = count()
        for instance in pauses:
            self.suspicion.watch(str(instance), 1, 0.0)
            heappush(queue, (instance * 0.001, next(ties), instance, instance * 0.001))
        now = 0.0
        while now < end:
            now = awake(min(queue[0][0], self.suspicion.next_deadline), sleeps)
            news = False
            while queue[0][0] <= now:  # all that waits is read first
                _, _, instance, sent = heappop(queue)
                news |= self.suspicion.heard(str(instance), 0, 1, True, now)
                following = awake(sent + BEAT, pauses[instance])
                heappush(queue, (following, next(ties), instance, following))
            if news or now >= self.suspicion.next_deadline:
                self.changes += [(now, change) for change in self.suspicion.look(now)]


def awake(time: float, sleeps: list[tuple[float, float]]) -> float:
    """The first moment at or after `time` that is in none of them."""
    for begin, until in sorted(sleeps):
        if begin <= time < until:
            time = until
    return time


_sleeps = st.lists(st.tuples(st.floats(0.02, 0.4), st.floats(0.001, 0.1)), max_size=6).map(
    lambda some: [(begin, begin + length) for begin, length in some]
)


@settings(max_examples=150, deadline=None)
@given(_sleeps, st.booleans())
def test_own_sleep_is_nobodys_silence(sleeps: list[tuple[float, float]], together: bool) -> None:
    """Also if all processes of the machine sleep at the same time."""
    wire = Wire()
    wire.run({0: sleeps if together else [], 1: sleeps if together else []}, sleeps, 0.6)
    assert [change.health for _, change in wire.changes] == [Health.live, Health.live]


_standstill = st.floats(0.001, 0.008) | st.floats(LIMIT + PUNCTUAL + 0.0002, 0.1)  # those between may go unnoticed


@settings(max_examples=150, deadline=None)
@given(st.floats(0.02, 0.1), _standstill, st.tuples(*[st.floats(0, SETTLED - 0.0001)] * 4))
def test_a_machine_that_stood_still_is_nobodys_silence(begin: float, length: float, lags: tuple[float, ...]) -> None:
    """Also if one goes on a little later than another one, and the one who watches in between."""
    wire, until = Wire(), begin + length
    mine, *others = ([(begin, until + lag)] for lag in lags)
    wire.run(dict(enumerate(others)), mine, 0.3)
    assert [change.health for _, change in wire.changes] == [Health.live] * 3


@settings(max_examples=150, deadline=None)
@given(_sleeps, st.floats(0.05, 0.4))
def test_the_dead_are_seen_and_the_living_are_not_taken_for_them(
    sleeps: list[tuple[float, float]], death: float
) -> None:
    wire = Wire()
    wire.run({0: [], 1: [(death, 1e9)]}, sleeps, 0.9)
    seen = [(now, change) for now, change in wire.changes if change.health is Health.suspected]
    assert [change.name for _, change in seen] == ["1"]
    slept = sum(until - begin for begin, until in sleeps)
    assert seen[0][0] <= death + LIMIT + 2 * slept + 0.001
    if not sleeps:
        assert seen[0][0] >= death + LIMIT - BEAT


@settings(max_examples=100, deadline=None)
@given(_sleeps)
def test_whoever_was_merely_slow_is_live_again(pauses: list[tuple[float, float]]) -> None:
    wire = Wire()
    wire.run({0: pauses, 1: []}, [], 0.9)
    assert wire.suspicion.health("0")[0] is Health.live
    assert wire.suspicion.faults("1", 0.9) == 0
    mine = [change.health for _, change in wire.changes if change.name == "0"]
    assert mine == [Health.live, *[Health.suspected, Health.live] * wire.suspicion.faults("0", 0.9)]


def test_backoff_doubles_for_failures_in_a_row_and_forgets() -> None:
    backoff, now = Backoff(), 100.0
    assert backoff.not_before("h") == 0.0
    waits = []
    for _ in range(9):
        waits.append(backoff.failed("h", now, worked=1.0) - now)
        now += waits[-1]
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, MOST, MOST]
    assert backoff.not_before("other") == 0.0
    assert backoff.failed("h", now, worked=5.0) == now + 0.5  # it had worked
    assert backoff.failed("h", now + 1) == now + 2
    assert backoff.failed("h", now + 301.5) == now + 302
