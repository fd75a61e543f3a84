"""Shares of a host: nobody gets what another one has, or what is not there, and the reason is told."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statelessnf.errors import Refused
from statelessnf.orchestrator.drivers.driver import Capacity, Driver
from statelessnf.orchestrator.host_watch import WatchedHost
from statelessnf.orchestrator.hosts import Share, interfaces_of, room, share
from statelessnf.orchestrator.section import HostSection

pytestmark = pytest.mark.beside

SLOTS = [
    {"inside": f"net_af_xdp0,iface=in{i}", "outside": f"net_af_xdp1,iface=out{i}", "switch_inside": f"i{i}",
     "switch_outside": f"o{i}", "namespace": f"n{i}"}
    for i in range(4)
]  # fmt: skip
ALL = tuple(f"n{i}/{side}{i}" for i in range(4) for side in ("in", "out"))
HAS = Capacity((0, 1, 2, 3), 8000, ALL)


def section(**more: object) -> HostSection:
    return HostSection.model_validate({"name": "here", "slots": SLOTS, **more})


def test_without_limits_all_share_all() -> None:
    assert share(section(), HAS, 0, {}) == Share()
    assert room(section(), HAS) == (4, "")


def test_cores_are_handed_out_once() -> None:
    two = section(cores_per_instance=2, cores=[1, 2, 3])
    first = share(two, HAS, 0, {})
    assert first.cores == (1, 2)
    with pytest.raises(Refused, match=r"host here: 1 of 3 cores are free, and an instance gets 2"):
        share(two, HAS, 1, {0: first})
    assert room(two, HAS)[0] == 1
    assert "1 of 3 cores" in room(two, HAS)[1]
    assert share(two, HAS, 1, {}).cores == (1, 2)


def test_the_section_may_allow_less_but_not_more_than_there_is() -> None:
    assert share(section(cores=[2, 3]), HAS, 0, {}).cores == (2, 3)
    with pytest.raises(Refused, match="core 9 is not there; it has 0, 1, 2, 3"):
        share(section(cores=[0, 9]), HAS, 0, {})
    with pytest.raises(Refused, match="9000 MB are more than it has"):
        share(section(memory_mb=9000), HAS, 0, {})


def test_memory_is_counted() -> None:
    each = section(memory_per_instance_mb=1500, memory_mb=4000)
    assert room(each, HAS)[0] == 2
    with pytest.raises(Refused, match="1000 of 4000 MB are free"):
        share(each, HAS, 2, {0: Share((), 1500), 1: Share((), 1500)})


def test_interfaces_must_be_there() -> None:
    with pytest.raises(Refused, match="no interface n3/in3"):
        share(section(), Capacity((0,), 1, tuple(name for name in ALL if name != "n3/in3")), 3, {})
    assert share(section(), Capacity((0,), 1, ()), 3, {}) == Share()  # a host that cannot be asked
    lent = {**SLOTS[0], "interfaces": ["a", "b"], "namespace": None}
    docker = HostSection.model_validate({"name": "here", "driver": "docker", "slots": [lent]})
    assert interfaces_of(docker, docker.slots[0]) == ["a", "b"]


def test_interfaces_of_those_that_run_may_be_in_their_containers() -> None:
    lent = Capacity(HAS.cores, HAS.memory_mb, tuple(name for name in ALL if not name.startswith("n1/")))
    assert room(section(), lent)[0] == 3
    assert room(section(), lent, running={1}) == (4, "")


def test_a_slot_holds_one() -> None:
    with pytest.raises(Refused, match="slot 1 is taken"):
        share(section(), HAS, 1, {1: Share()})


class Measured:
    """As much of a driver as is asked what there is."""

    reachable = True

    async def capacity(self) -> Capacity:
        return HAS


def test_what_is_in_the_way_is_shown_until_something_worse_is() -> None:
    host = WatchedHost(section(cores_per_instance=2, cores=[1, 2, 3]), cast(Driver, Measured()))
    assert host.trouble == ""
    asyncio.run(host.measure())
    assert host.trouble.startswith("host here: 1 of 3 cores are free, and an instance gets 2")
    host.failed("there is no image", 0.0)
    assert host.trouble == "there is no image"
    plain = WatchedHost(section(), cast(Driver, Measured()))
    asyncio.run(plain.measure())
    assert plain.trouble == ""


class Unlimited(Measured):
    """A host without control groups."""

    async def capacity(self) -> Capacity:
        return Capacity((0,), 9000, ALL, limits_memory=False)


def test_that_memory_is_not_limited_is_a_note_and_no_problem() -> None:
    host = WatchedHost(section(memory_per_instance_mb=100), cast(Driver, Unlimited()))
    asyncio.run(host.measure())
    assert host.trouble == ""
    assert "not enforced" in host.note
    plain = WatchedHost(section(), cast(Driver, Unlimited()))
    asyncio.run(plain.measure())
    assert plain.note == ""


def test_the_plan_is_told_how_many_the_cores_are_enough_for() -> None:
    host = WatchedHost(section(cores_per_instance=2), cast(Driver, Measured()))
    assert (host.seen().slots, host.seen().most) == (4, None)
    asyncio.run(host.measure())
    assert (host.seen().slots, host.seen().most) == (4, 2)


@given(st.integers(0, 3), st.integers(0, 3000), st.permutations(range(4)), st.lists(st.integers(0, 3), max_size=3))
def test_never_more_than_there_is(each: int, memory: int, order: list[int], gone: list[int]) -> None:
    wanted = section(cores_per_instance=each, memory_per_instance_mb=memory)
    used: dict[int, Share] = {}
    for slot in [*order, *gone, *order]:
        if slot in used:
            del used[slot]  # it has ended
            continue
        try:
            used[slot] = share(wanted, HAS, slot, used)
        except Refused:
            free = len(HAS.cores) - each * len(used)
            assert free < each or HAS.memory_mb - memory * len(used) < memory
    cores = [core for one in used.values() for core in one.cores]
    assert len(cores) == len(set(cores))
    assert sum(one.memory_mb for one in used.values()) <= HAS.memory_mb
