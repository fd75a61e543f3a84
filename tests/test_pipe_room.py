"""Pipes that follow the load need cores, queues and a free slot: what lacks is said before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from statelessnf.commands.check import explained
from statelessnf.config import Deployment, load, parse, tables
from statelessnf.errors import ConfigError
from statelessnf.orchestrator.pipe_room import queued
from statelessnf.orchestrator.section import orchestration

EXAMPLE = Path(__file__).parent.parent / "examples" / "orchestrated.toml"
FILE = Path("edge.toml")
Change = Callable[[dict[str, Any]], object]


def deployment(*changes: Change) -> Deployment:
    """The example with up to four pipes, and queues for them."""
    document = tables(EXAMPLE.read_text(), FILE)
    section = document["orchestrator"]
    section["scaling"]["most_pipes"] = 4
    for slot in section["hosts"][0]["slots"]:
        for side in ("inside", "outside"):
            slot[side] += ",queue_count={pipes}"
    for change in changes:
        change(document)
    return parse(document, FILE)


def host(**options: object) -> Change:
    return lambda document: document["orchestrator"]["hosts"][0].update(options)


def scaling(**options: object) -> Change:
    return lambda document: document["orchestrator"]["scaling"].update(options)


def instance(**options: object) -> Change:
    return lambda document: document["instance"].update(options)


def port(text: str) -> Change:
    return lambda document: document["orchestrator"]["hosts"][0]["slots"][1].update(inside=text)


def spares(number: int) -> Change:
    return lambda document: document["orchestrator"].update(spares=number)


def test_a_file_that_has_room_for_them_is_accepted() -> None:
    for changes in ([], [host(cores_per_instance=4)], [port("0000:3b:02.0")], [port("net_af_packet0,qpairs={pipes}")]):
        orchestration(deployment(*changes))
    assert any("each gets up to 4 pipes" in line for line in explained(deployment()))


def test_pipes_that_do_not_change_need_no_room() -> None:
    orchestration(load(EXAMPLE))
    orchestration(deployment(scaling(most_pipes=0), host(cores_per_instance=1), port("net_af_xdp0,iface=in")))
    orchestration(deployment(instance(pipes=4), spares(2), port("net_af_xdp0,iface=in,queue_count=4")))


@pytest.mark.parametrize(
    ("change", "what", "do"),
    [
        (host(cores_per_instance=3), "an instance on host here has 3 cores, fewer than 4 pipes", "use 3 or fewer"),
        (instance(pipes=5), "4 is less than instance.pipes (5)", "correct one of them"),
        (port("net_af_xdp0,iface=in,queue_count=4"), "same queues for any number of pipes", "add queue_count={pipes}"),
        (port("net_af_packet0,iface=in"), "same queues for any number of pipes", "add qpairs={pipes}"),
        (spares(2), "the hosts have 4 slots, and a new instance runs beside the one", "let them have 5"),
    ],
)
def test_what_lacks_is_said_and_what_to_do(change: Change, what: str, do: str) -> None:
    with pytest.raises(ConfigError) as caught:
        orchestration(deployment(change))
    assert what in caught.value.what
    assert do in caught.value.do
    assert caught.value.where == f"{FILE}: orchestrator.scaling.most_pipes"


def test_the_ports_of_a_slot_are_told_how_many_queues() -> None:
    assert queued("net_af_xdp0,iface=in0,queue_count={pipes}", 3) == "net_af_xdp0,iface=in0,queue_count=3"
    assert queued("0000:3b:02.0", 3) == "0000:3b:02.0"
