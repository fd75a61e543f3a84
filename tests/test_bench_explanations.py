"""What explains a loss in `snf bench chaos`: made-up logs."""

import pytest

from statelessnf.bench.explanations import AFTER, BEFORE, WAITED, Happening, intervals, unexplained
from statelessnf.bench.instruments.stream import Gap

pytestmark = pytest.mark.beside
KILL = Happening(10.0, "kill", "snf-a")
END = Happening(10.02, "end", "snf-a", "signal 9")
AWAY = Happening(10.03, "steer", "", "traffic goes to snf-b, snf-c (1.0 ms)")
STILL = Happening(10.03, "steer", "", "traffic goes to snf-a, snf-b (1.0 ms)")
SUSPECT = Happening(10.02, "suspect", "snf-a", "pipe 0 has been silent for 15.4 ms")
LOSS = Gap(10.0, 25.0, 50, 25.0)


@pytest.mark.parametrize(
    ("done", "events", "explained"),
    [
        ([KILL], [END, AWAY], True),
        ([], [END, AWAY], True),  # one that ended by itself
        ([], [SUSPECT, AWAY], True),
        ([], [SUSPECT, Happening(10.04, "live", "snf-a")], True),
        ([Happening(10.0, "restart")], [Happening(10.6, "switch")], True),
        ([Happening(10.0, "switch")], [Happening(10.01, "switch")], True),
        ([], [Happening(10.01, "switch-away"), Happening(10.6, "switch")], True),
        ([], [], False),
        ([KILL], [], False),  # nobody noticed
        ([KILL], [END], False),  # nothing was done about it
        ([KILL], [END, STILL], False),  # nothing that helps
        ([KILL], [END, Happening(14.0, "steer", "", AWAY.text)], False),  # much too late
        ([], [AWAY], False),  # a planned move is to lose nothing
        ([Happening(10.0, "replica", "")], [Happening(10.01, "switch")], False),
        ([Happening(10.0, "leader", "")], [Happening(10.01, "lead"), Happening(10.02, "steer", "", AWAY.text)], False),
        ([Happening(10.0, "pause", "snf-a")], [AWAY], False),
        ([], [Happening(10.01, "live", "snf-a"), Happening(10.02, "start", "snf-b"), AWAY], False),
        ([], [SUSPECT, Happening(10.04, "live", "snf-b")], False),  # somebody else's
        ([], [END, Happening(10.04, "live", "snf-a")], False),  # what has ended does not come back
        ([Happening(10.0, "restart")], [END, AWAY], True),  # by its own pair
        ([Happening(10.0, "restart")], [Happening(10.6, "steer", "", AWAY.text)], False),
        ([Happening(10.0, "restart")], [Happening(9.9, "switch")], False),  # of the one before
        ([Happening(10.0, "restart")], [Happening(31.0, "switch")], False),
        ([], [Happening(10.01, "switch-away")], False),
    ],
)
def test_a_fault_and_its_own_remedy_explain_a_loss(
    done: list[Happening], events: list[Happening], explained: bool
) -> None:
    assert unexplained([LOSS], intervals(done, events)) == ([] if explained else [10])


@pytest.mark.parametrize(
    ("gap", "seconds"),
    [
        (Gap(10 - WAITED / 2, 60.0, 3, 20.0), []),
        (Gap(10 - 2 * WAITED, 300.0, 3, 20.0), [9]),
        (Gap(10.03 + AFTER - 0.01, 5.0, 3, 5.0), []),
        (Gap(10.03 + AFTER - 0.01, 2000.0, 3, 2000.0), [10, 11, 12]),
        (Gap(8.5, 4000.0, 3, 4000.0), [8, 9, 10, 11, 12]),
        (Gap(50.0, 20.0, 3, 20.0), [50]),
        (Gap(50.0, 20.0, 0, 20.0), []),
        (Gap(50.0, 400.0, 0, 0.0), [50]),  # nothing lost, but nothing came
        (Gap(50.0, 400.0, 0, 400.0), []),  # nothing had been sent
    ],
)
def test_what_lies_outside_is_found_second_by_second(gap: Gap, seconds: list[int]) -> None:
    assert unexplained([gap], intervals([KILL], [AWAY])) == seconds


def test_an_event_tells_of_what_was_shortly_before_it() -> None:
    ((since, until),) = intervals([], [END, AWAY])
    assert (since, until) == pytest.approx((END.at - BEFORE, AWAY.at + AFTER))


def test_intervals_that_follow_each_other_are_one() -> None:
    assert unexplained([Gap(1.0, 2000.0, 9, 2000.0)], [(2.0, 3.5), (0.5, 2.0)]) == []
    assert unexplained([Gap(1.0, 2000.0, 9, 2000.0)], [(2.5, 3.5), (0.5, 2.0)]) == [2]
