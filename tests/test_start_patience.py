"""How long a start may take follows from how long starts took, and from those that were given up."""

from __future__ import annotations

import pytest

from statelessnf.orchestrator.start_patience import StartPatience

pytestmark = pytest.mark.beside


@pytest.mark.parametrize(("after", "seconds"), [(0.1, 10), (7, 14), (100, 160)])
def test_a_start_is_given_twice_as_long_as_the_last_one_took(after: float, seconds: float) -> None:
    patience = StartPatience()
    patience.heard(after)
    assert patience.seconds == seconds


def test_starts_that_were_given_up_together_count_once() -> None:
    patience = StartPatience()
    for after in (10.1, 10.1, 15):
        patience.given_up(after)
    assert patience.seconds == 20
    for _ in range(9):
        patience.given_up(160)
    assert patience.seconds == 160
