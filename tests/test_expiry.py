"""The pass that ends flows which are due, on both back ends: what it tells, what it counts, and what is made up for.

tests/test_services_crash.py runs it in processes that are killed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from service_worlds import BACKSTOP, DEPLOYMENT, SPAN, World, flow, key, record, valkey_world
from statelessnf.errors import StoreUnavailable
from statelessnf.store.expiry import ATTEMPTS, Ends, TimedFlows, end_claimed, expire_due
from statelessnf.store.service_requests import (
    Ending,
    Expired,
    PairChange,
)
from statelessnf.store.shards import FLOWS, service_keys, shard_of

pytestmark = pytest.mark.beside

A, B = b"\x00\r\n tok1", b"$-1\r\n\xff\xfe\xff"
LEASE = SPAN // 2
PAIR, SINGLE = (key(7), key(8, 7)), (key(9),)
LOAD = b"server\r\n\x00\xff"


class Meddled:
    """Services to which something happens between the reading of records and the end of flows."""

    def __init__(self, services: TimedFlows, meddle: Callable[[], None]) -> None:
        self._services = services
        self._meddle = meddle
        self.now, self.arm, self.move, self.hasten = services.now, services.arm, services.move, services.hasten
        self.end, self.claim, self.read = services.end, services.claim, services.read
        self.create, self.change_pairs = services.create, services.change_pairs

    def expire(self, endings: Sequence[Ending]) -> list[Expired]:
        self._meddle()
        return self._services.expire(endings)


class Told:
    """What `on_expire` was told: keys, and the record's nonce, since a record's deadline moves with logical time."""

    def __init__(self) -> None:
        self.flows: list[tuple[tuple[bytes, ...], int]] = []

    def __call__(self, keys: tuple[bytes, ...], value: bytes) -> None:
        self.flows.append((keys, struct.unpack_from("<Q", value, 1)[0]))


def made(world: World) -> None:
    """A pair of nonce 1 and a flow of one key, nonce 2; both are due."""
    end = world.now() + SPAN
    flows = [flow(world, PAIR, 1, end, A, LOAD), flow(world, SINGLE, 2, end, B, LOAD)]
    world.services.create(flows)
    world.pass_time(SPAN + 1000)


def stands(world: World) -> bytes:
    [value] = world.services.read(PAIR[:1])
    assert value is not None
    return value


def change(world: World, nonce: int, deadline: int) -> None:
    """Of the pair."""
    fresh = record(world, nonce, deadline)
    [changed] = world.services.change_pairs([PairChange(PAIR, stands(world), fresh, world.stored(deadline) + BACKSTOP)])
    assert changed.changed


def test_flows_that_are_due_end_and_are_told_of(world: World) -> None:
    made(world)
    told = Told()
    ends = expire_due(world.services, 10, LEASE, told)
    assert (ends, ends.claimed) == (Ends(ended=2), 2)
    assert sorted(told.flows) == [(PAIR, 1), (SINGLE, 2)]
    assert world.services.counts() == {}
    assert world.left() == 0


def test_nobody_need_be_told(world: World) -> None:
    made(world)
    assert expire_due(world.services, 10, LEASE) == Ends(ended=2)
    assert world.left() == 0


def test_nothing_is_due(world: World) -> None:
    world.services.create([flow(world, PAIR, 1, world.now() + SPAN, A, LOAD)])
    told = Told()
    ends = expire_due(world.services, 10, LEASE, told)
    assert (ends, ends.claimed, told.flows) == (Ends(), 0, [])


def test_no_more_than_the_limit(world: World) -> None:
    made(world)
    assert [expire_due(world.services, 1, LEASE).claimed for _ in range(3)] == [1, 1, 0]
    assert world.left() == 0


@pytest.mark.parametrize(("limit", "lease"), [(0, 1), (1, 0)])
def test_impossible_limit_or_lease(world: World, limit: int, lease: int) -> None:
    with pytest.raises(ValueError, match="from"):
        expire_due(world.services, limit, lease)


def test_refreshed_flow_is_not_told_of_and_lives_on(world: World) -> None:
    made(world)
    change(world, 3, world.now() + SPAN)
    told = Told()
    assert expire_due(world.services, 10, LEASE, told) == Ends(ended=1, rearmed=1)
    assert told.flows == [(SINGLE, 2)]
    assert world.services.counts() == {LOAD: 1}
    world.pass_time(SPAN + 1000)
    assert expire_due(world.services, 10, LEASE, told) == Ends(ended=1)
    assert told.flows[1:] == [(PAIR, 3)]
    assert world.left() == 0


def test_vanished_record_gives_its_counter_back_and_nobody_is_told(world: World) -> None:
    made(world)
    for name in PAIR:
        world.vanish(name)
    told = Told()
    assert expire_due(world.services, 10, LEASE, told) == Ends(ended=2)
    assert told.flows == [(SINGLE, 2)]
    assert world.services.counts() == {}
    assert world.left() == 0


def test_record_that_changes_meanwhile_is_read_again(world: World) -> None:
    """It is past its deadline before and after: somebody's late commit."""
    made(world)
    nonces = iter([3, None])

    def meddle() -> None:
        if (nonce := next(nonces)) is not None:
            change(world, nonce, world.now() - 1)

    told = Told()
    assert expire_due(Meddled(world.services, meddle), 10, LEASE, told) == Ends(ended=2)
    assert sorted(told.flows) == [(PAIR, 1), (PAIR, 3), (SINGLE, 2)]
    assert world.left() == 0


def test_record_that_is_refreshed_meanwhile_lives_on(world: World) -> None:
    made(world)
    meddled = Meddled(world.services, lambda: change(world, 3, world.now() + SPAN))
    assert expire_due(meddled, 10, LEASE) == Ends(ended=1, rearmed=1)
    assert world.services.counts() == {LOAD: 1}


def test_record_that_vanishes_meanwhile_gives_its_counter_back(world: World) -> None:
    made(world)

    def meddle() -> None:
        for name in PAIR:
            world.vanish(name)

    assert expire_due(Meddled(world.services, meddle), 10, LEASE) == Ends(ended=2)
    assert world.left() == 0


def test_record_that_never_rests_is_left_to_the_next_claim(world: World) -> None:
    made(world)
    nonces = list(range(50, 3, -1))
    meddled = Meddled(world.services, lambda: change(world, nonces.pop(), world.now() - 1))
    told = Told()
    ends = expire_due(meddled, 10, LEASE, told)
    assert (ends, ends.claimed) == (Ends(ended=1, changed=1), 2)
    assert len(told.flows) == 1 + ATTEMPTS
    assert expire_due(world.services, 10, LEASE) == Ends()
    world.pass_time(LEASE + 1000)
    assert expire_due(world.services, 10, LEASE) == Ends(ended=1)
    assert world.left() == 0


def test_who_dies_before_the_end_is_made_up_for_after_the_lease(world: World) -> None:
    """Flows are told of twice then, and end once."""
    made(world)

    def die() -> None:
        raise StoreUnavailable("the connection broke")

    told = Told()
    with pytest.raises(StoreUnavailable):
        expire_due(Meddled(world.services, die), 10, LEASE, told)
    assert expire_due(world.services, 10, LEASE, told) == Ends()
    assert world.services.counts() == {LOAD: 2}
    world.pass_time(LEASE + 1000)
    assert expire_due(world.services, 10, LEASE, told) == Ends(ended=2)
    assert sorted(told.flows) == [(PAIR, 1), (PAIR, 1), (SINGLE, 2), (SINGLE, 2)]
    assert world.services.counts() == {}
    assert world.left() == 0


def test_who_is_slower_than_the_lease_has_no_effect(world: World) -> None:
    made(world)
    claims = world.services.claim(10, LEASE)
    world.pass_time(LEASE + 1000)
    assert expire_due(world.services, 10, LEASE) == Ends(ended=2)
    assert end_claimed(world.services, claims) == Ends(lost=2)
    assert world.left() == 0


def test_record_of_another_schema_is_left_alone_and_hinders_no_other(valkey_server: Path) -> None:
    with valkey_world(valkey_server) as world:
        made(world)
        foreign = b"\x02" + stands(world)[1:]
        world.raw.set(PAIR[0], foreign)
        told = Told()
        assert expire_due(world.services, 10, LEASE, told) == Ends(ended=1, unreadable=1)
        assert told.flows == [(SINGLE, 2)]
        assert world.raw.get(PAIR[0]) == foreign
        assert world.services.counts() == {LOAD: 1}


def test_keys_of_different_shards(valkey_server: Path) -> None:
    """As the engine writes them where a port is translated; one such flow must not keep others from their end."""
    keys = (key(7), key(8))
    with valkey_world(valkey_server) as world:
        value, due = record(world, 1, world.now() - 1), world.now() - 1
        services = service_keys(shard_of(keys[0]), DEPLOYMENT, b"test\r\n")
        words = ("anew", "", value, due + BACKSTOP, due, A, LOAD)
        assert world.raw.execute_command("FCALL", "snf_flow_make", 5, *services, *keys, *words) == [1]
        world.services.create([flow(world, SINGLE, 2, due, B, LOAD)])
        told = Told()
        assert expire_due(world.services, 10, LEASE, told) == Ends(ended=2)
        assert sorted(told.flows) == [(keys, 1), (SINGLE, 2)]
        assert world.left() == 0


def test_service_of_the_engines_flows() -> None:
    assert service_keys(7, DEPLOYMENT, FLOWS).timers.endswith(b"tflows")
