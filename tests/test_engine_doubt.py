"""What an engine must not do after a lost connection or a long silence: scripts that random ones once came upon."""

from __future__ import annotations

import pytest

import tally_function as tally
from engine_world import NEVER, World
from pairs_traffic import INSIDE, REMOTE, nat_subject, sample
from pairs_world import PairsWorld
from tally_function import Tally
from test_engine_random import order, tally_release, tally_subject

pytestmark = pytest.mark.beside


@pytest.mark.parametrize("mode", ["off", "tracked"])
def test_packets_of_a_creation_in_doubt_keep_their_order(mode: str) -> None:
    """The creation's connection breaks; it is executed late, when the same flow is being created again for both."""
    world, ends = PairsWorld(nat_subject("address-and-port"), mode, 1), ("10.0.0.1", 5000, REMOTE, 53)
    world.send(0, sample("udp", ends, INSIDE))
    world.round(0)
    world.step(0)  # the record is not there: create it
    world.send(0, sample("udp", ends, INSIDE))
    world.step(0)  # waits behind
    world.cut(0, late=True)
    world.connect(0)
    world.round(0)  # still not there: create it for both
    world.step(0)
    world.serve_late()
    world.settle()
    assert [journey.verdict for journey in world.journeys] == ["forward", "forward"]
    assert not world.problems


def test_what_came_to_a_frozen_instance_is_not_judged_by_what_it_had_asked_before() -> None:
    """An answer of before a silence of five seconds does not justify an unchanged FORWARD after it (rule 14)."""
    subject = tally_subject()
    world = World({**subject.options, "mode": "tracked"}, Tally.drop_reasons, 2, tally_release)
    for what in (tally.COUNT, tally.ASK):
        world.send(0, order(0, 0, what, 0))
        for _ in range(3):
            world.round(0)
    world.send(0, order(0, 2, tally.ASK, 0))
    world.step(0)
    world.serve(0, NEVER)  # and the instance sleeps
    world.send(1, order(0, 3, tally.FORGET, 0))
    for _ in range(4):
        world.round(1)
    world.wait(5_000_000)
    world.send(0, order(0, 4, tally.ASK, 0))
    world.deliver(0, NEVER)
    world.settle()
    assert world.journeys[-1].verdict == "not_yet"
