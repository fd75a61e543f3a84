"""The commit protocol, searched exhaustively in the small (docs/model.md).

With all rules in force no interleaving of any scenario breaks an invariant; with a rule switched off the search finds a
shortest counterexample of the kind named here, so that the model is known to be able to.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from model.explore import explore
from model.scenarios import SCENARIOS

pytestmark = pytest.mark.beside

LEAST_STATES = {  # far below what is searched: a scenario that has become trivial fails
    "opening": 3000,
    "opening-off": 1000,
    "opening-crash": 9000,
    "opening-cut": 10000,
    "closing-cut": 10000,
    "stale": 50000,
    "half-open": 15000,
    "refresh": 10000,
    "refresh-tracked": 10000,
    "nat": 2000,
    "nat-in": 4000,
    "park": 4000,
    "park-crash": 3000,
    "pair": 1000,
    "pair-cut": 8000,
    "pair-warm": 6000,
    "pair-cold": 4000,
    "pair-refresh": 8000,
    "dying": 9000,
    "dying-race": 9000,
    "dead-timed": 1500,
    "dead-cut": 3500,
    "move": 6000,
    "move-change": 1500,
    "move-warm": 800,
    "move-taken": 2000,
    "move-dead": 2000,
    "move-dying": 4000,
}


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """States are tuples without cycles: the collector would find nothing, and take a fifth of the time."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("name", SCENARIOS)
def test_all_rules_hold(name: str) -> None:
    """Nothing is found, and the search was as large as it should be."""
    scenario = SCENARIOS[name]
    finding = explore(scenario)
    assert finding.violation is None, "\n" + finding.told(scenario)
    assert finding.states >= LEAST_STATES[name]


@pytest.mark.parametrize(
    ("rule", "name", "invariant"),
    [
        ("2", "opening", "(a)"),
        ("2", "opening-off", "(a)"),
        ("3", "opening", "(d)"),
        ("4", "closing-cut", "(b)"),
        ("5", "nat", "(c)"),
        ("5", "pair", "(f)"),
        ("5-own", "nat", "(a)"),
        ("5-same", "dying", "(b)"),
        ("5-dead", "dying-race", "(b)"),
        ("5-dead", "dying-race", "(c)"),
        ("5-dead", "dead-timed", "(c)"),
        ("5-dead", "move-taken", "(b)"),
        ("5-left", "move", "(f)"),
        ("5-left", "move", "(a)"),
        ("5-left-old", "move-dying", "(f)"),
        ("6", "refresh", "(a)"),
        ("6", "refresh-tracked", "(a)"),
        ("6", "pair-refresh", "(f)"),
        ("7-again", "closing-cut", "(a)"),
        ("7-trust", "opening-cut", "(d)"),
        ("9-park", "park-crash", "(e)"),
        ("9-release", "park-crash", "(e)"),
        ("12", "stale", "(a)"),
        ("12-partner", "pair-warm", "(a)"),
        ("12-partner", "move-warm", "(a)"),
        ("12-early", "pair-cold", "(a)"),
        ("14", "half-open", "(a)"),
    ],
)
def test_each_rule_is_needed(rule: str, name: str, invariant: str) -> None:
    """Without the rule the invariant breaks; the shortest way there is printed."""
    scenario = SCENARIOS[name].without(rule)
    finding = explore(scenario, judged=invariant[1])
    print(f"\nwithout rule {rule}, in {name}:\n{finding.told(scenario)}")
    assert finding.violation is not None
    assert finding.violation.startswith(invariant)
