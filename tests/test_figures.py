"""Figures of an instance: the names under which a function's own drops and counters are shown."""

from __future__ import annotations

from typing import Any

import pytest

from statelessnf.figures import counters, drops
from statelessnf.function import Function
from statelessnf.functions.firewall import Firewall
from statelessnf.functions.load_balancer import LoadBalancer
from statelessnf.functions.nat import Nat

pytestmark = pytest.mark.beside

STATS: dict[str, Any] = {"drops": {"malformed": 1, "no_route": 0}, "function_drops": [0, 4]}
STATS["function_counters"] = {3: 7}


def test_counters_stand_under_the_function_s_own_name_for_them() -> None:
    assert counters(STATS, Firewall) == {"rule_hits": {"3": 7}}


@pytest.mark.parametrize("function", [Nat, LoadBalancer])
def test_a_function_without_counters_shows_none(function: type[Function]) -> None:
    assert counters(STATS, function) == {}


def test_drops_have_the_function_s_reasons_by_name() -> None:
    assert drops(STATS, Nat) == {"no_port_left": 4, "malformed": 1}
