"""The ladder of instances and pipes: each step up is worth more, each step down less, from wherever one stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statelessnf.orchestrator.levels import Ladder, Level

pytestmark = pytest.mark.beside


@st.composite
def ladders(draw: st.DrawFn) -> Ladder:
    minimum, least = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return Ladder(minimum, draw(st.integers(minimum, 6)), least, draw(st.integers(least, 6)))


levels = st.builds(Level, st.integers(1, 8), st.integers(1, 8))


@given(ladders(), levels, st.floats(0, 60))
def test_up_is_worth_more_and_reaches_what_is_asked_for_if_anything_does(
    ladder: Ladder, level: Level, worth: float
) -> None:
    level = ladder.within(level)
    up, top = ladder.up(level, worth), Level(ladder.maximum, ladder.most)
    assert ladder.within(up) == up
    assert up.worth > level.worth or up == level == top
    assert up.worth >= min(worth, top.worth)
    assert up.size == level.size or up.pipes == ladder.most
    before = Level(up.size, up.pipes - 1) if up.size == level.size else Level(up.size - 1, up.pipes)
    assert before.worth < worth or before.worth <= max(level.worth, level.size * ladder.most)


@given(ladders(), levels)
def test_down_leads_to_the_least_and_instances_go_first(ladder: Ladder, level: Level) -> None:
    level = ladder.within(level)
    while (less := ladder.down(level)) is not None:
        assert ladder.within(less) == less
        assert less.worth < level.worth
        assert less.pipes == level.pipes or level.size == ladder.minimum
        level = less
    assert level == Level(ladder.minimum, ladder.least)


def test_without_further_pipes_it_is_a_ladder_of_sizes() -> None:
    ladder = Ladder(1, 5, 2, 2)
    assert [ladder.up(Level(2, 2), worth).size for worth in (0, 5, 7, 9, 99)] == [3, 3, 4, 5, 5]
    assert ladder.down(Level(2, 2)) == Level(1, 2)
    assert ladder.down(Level(1, 2)) is None
