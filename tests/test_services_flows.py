"""The contract of flows that a timer ends and of counters, on both back ends."""

from __future__ import annotations

import pytest

from service_worlds import BACKSTOP, SPAN, World, flow, key, record, timer
from statelessnf.store.service_requests import (
    Claim,
    Created,
    Creation,
    Ending,
    Expired,
    Expiry,
    Move,
    NewFlow,
    PairChange,
    PairChanged,
)

pytestmark = pytest.mark.beside

A, B, C = b"\x00\r\n tok1", b"$-1\r\n\xff\xfe\xff", b"*0\r\n\x00\x01\x02\x03"
LEASE = SPAN // 2
PAIR = (key(7), key(8, 7))
LOAD = b"server\r\n\x00\xff 10.0.0.1"


def made(world: World, keys: tuple[bytes, ...] = PAIR, counter: bytes = LOAD) -> bytes:
    """A flow that ends one span from now; its record."""
    wanted = flow(world, keys, 1, world.now() + SPAN, A, counter)
    assert world.services.create([wanted]) == [Created(Creation.created)]
    return wanted.value


def due(world: World) -> Claim:
    """The claim of a flow just made, at its end."""
    world.pass_time(SPAN + 1000)
    [claim] = world.services.claim(10, LEASE)
    return claim


def current(world: World, name: bytes) -> bytes:
    [value] = world.services.read([name])
    assert value is not None
    return value


@pytest.mark.parametrize("keys", [PAIR[:1], PAIR])
def test_flow_is_created_with_all_it_needs(world: World, keys: tuple[bytes, ...]) -> None:
    value = made(world, keys)
    assert world.services.read(keys) == [value] * len(keys)
    assert world.services.counts() == {LOAD: 1}
    claim = due(world)
    assert claim.keys == keys
    assert claim.token != A


@pytest.mark.parametrize("stands", [0, 1])
def test_flow_of_which_one_key_is_taken_is_not_created(world: World, stands: int) -> None:
    made(world, (PAIR[stands],), b"other")
    values = world.services.read(PAIR)
    wanted = flow(world, PAIR, 2, world.now(), B, LOAD)
    assert world.services.create([wanted]) == [Created(Creation.taken, tuple(values))]
    assert world.services.counts() == {b"other": 1}
    assert world.services.read(PAIR) == values
    assert world.services.claim(10, LEASE) == []  # its timer would be due


def test_created_twice_is_taken_by_oneself(world: World) -> None:
    wanted = flow(world, PAIR, 1, world.now() + SPAN, A, LOAD)
    world.services.create([wanted])
    assert world.services.create([wanted]) == [Created(Creation.taken, (wanted.value, wanted.value))]
    assert world.services.counts() == {LOAD: 1}


def test_counters_are_summed_over_shards(world: World) -> None:
    for number in range(600):
        made(world, (key(number),), b"%d" % (number % 3))
    assert world.services.counts() == {b"0": 200, b"1": 200, b"2": 200}


def test_counter_is_optional(world: World) -> None:
    made(world, PAIR, b"")
    assert world.services.counts() == {}
    claim = due(world)
    assert world.services.expire([Ending(PAIR, claim.token, current(world, PAIR[0]))]) == [Expired(Expiry.ended)]
    assert world.left() == 0


@pytest.mark.parametrize("keys", [PAIR[:1], PAIR])
def test_flow_ends_with_all_it_had(world: World, keys: tuple[bytes, ...]) -> None:
    made(world, keys)
    claim = due(world)
    ending = Ending(claim.keys, claim.token, current(world, keys[0]))
    assert world.services.expire([ending]) == [Expired(Expiry.ended)]
    assert world.services.counts() == {}
    assert world.left() == 0
    assert world.services.expire([ending]) == [Expired(Expiry.lost)]


def test_refreshed_flow_is_armed_again(world: World) -> None:
    made(world)
    old = current(world, PAIR[0])
    deadline = world.now() + 3 * SPAN
    fresh = record(world, 2, deadline)
    change = PairChange(PAIR, old, fresh, world.stored(deadline) + BACKSTOP)
    assert world.services.change_pairs([change]) == [PairChanged(True, (fresh, fresh))]
    claim = due(world)
    fresh = current(world, PAIR[0])
    assert world.services.expire([Ending(PAIR, claim.token, fresh)]) == [Expired(Expiry.rearmed, fresh)]
    assert world.services.counts() == {LOAD: 1}
    world.pass_time(SPAN)
    assert world.services.claim(10, LEASE) == []  # its lease would be over
    world.pass_time(SPAN)
    [claim] = world.services.claim(10, LEASE)
    fresh = current(world, PAIR[1])
    assert world.services.expire([Ending(PAIR, claim.token, fresh)]) == [Expired(Expiry.ended)]
    assert world.left() == 0


def test_record_that_changed_since_it_was_read_is_handed_back(world: World) -> None:
    made(world)
    claim = due(world)
    stands = current(world, PAIR[0])
    stale = Ending(PAIR, claim.token, record(world, 99, world.now()))
    assert world.services.expire([stale]) == [Expired(Expiry.changed, stands)]
    assert world.services.expire([Ending(PAIR, claim.token, None)]) == [Expired(Expiry.changed, stands)]
    assert world.services.counts() == {LOAD: 1}
    assert world.services.expire([Ending(PAIR, claim.token, stands)]) == [Expired(Expiry.ended)]


def test_expiry_needs_the_claims_token(world: World) -> None:
    made(world)
    first = due(world)
    world.pass_time(SPAN)
    [second] = world.services.claim(10, LEASE)
    old = current(world, PAIR[0])
    endings = [Ending(PAIR, token, old) for token in (A, first.token, second.token, second.token)]
    outcomes = [expired.outcome for expired in world.services.expire(endings)]
    assert outcomes == [Expiry.lost, Expiry.lost, Expiry.ended, Expiry.lost]
    assert world.services.counts() == {}


def test_who_meets_an_ended_record_may_end_it_unclaimed(world: World) -> None:
    made(world)
    early = Ending(PAIR, b"", current(world, PAIR[0]))
    assert [expired.outcome for expired in world.services.expire([early])] == [Expiry.rearmed]
    world.pass_time(SPAN + 1000)
    old = current(world, PAIR[0])
    assert world.services.expire([Ending(PAIR, b"", old)] * 2) == [Expired(Expiry.ended), Expired(Expiry.lost)]
    assert world.left() == 0


def test_expiry_of_another_pair_is_refused(world: World) -> None:
    made(world)
    claim = due(world)
    old = current(world, PAIR[0])
    wrong = [Ending(keys, claim.token, old) for keys in ((PAIR[0], key(9, 7)), PAIR[:1], PAIR[::-1])]
    assert world.services.expire(wrong) == [Expired(Expiry.lost)] * 3
    assert world.services.read(PAIR) == [old, old]


def test_record_that_vanished_gives_its_counter_back(world: World) -> None:
    made(world)
    for name in PAIR:
        world.vanish(name)
    claim = due(world)
    lost = Ending(PAIR, claim.token, record(world, 1, world.now()))
    assert world.services.expire([lost]) == [Expired(Expiry.changed, None)]
    assert world.services.expire([Ending(PAIR, claim.token, None)]) == [Expired(Expiry.ended)]
    assert world.left() == 0


def test_new_flow_in_place_of_a_vanished_one_gives_its_counter_back(world: World) -> None:
    made(world)
    for name in PAIR:
        world.vanish(name)
    again = flow(world, PAIR[:1], 2, world.now() + SPAN, B, b"other")
    assert world.services.create([again]) == [Created(Creation.created_anew)]
    assert world.services.counts() == {b"other": 1}
    claim = due(world)
    assert claim.keys == PAIR[:1]
    assert world.services.expire([Ending(claim.keys, claim.token, current(world, PAIR[0]))]) == [Expired(Expiry.ended)]
    assert world.left() == 0


def test_partner_key_that_is_somebody_elses_by_now_stays(world: World) -> None:
    made(world)
    world.vanish(PAIR[1])
    theirs = flow(world, PAIR[1:], 9, world.now() + 9 * SPAN, C, b"theirs")
    assert world.services.create([theirs]) == [Created(Creation.created)]
    claim = due(world)
    assert world.services.expire([Ending(PAIR, claim.token, current(world, PAIR[0]))]) == [Expired(Expiry.ended)]
    assert world.services.counts() == {b"theirs": 1}
    assert world.services.read(PAIR)[0] is None
    assert world.services.read(PAIR)[1] is not None


def test_flows_timer_is_neither_cancelled_nor_acknowledged(world: World) -> None:
    made(world, PAIR[:1], b"")
    assert world.services.end([(PAIR[0], A)]) == [False]
    claim = due(world)
    assert world.services.end([(PAIR[0], claim.token)]) == [False]
    assert world.services.expire([Ending(PAIR[:1], claim.token, current(world, PAIR[0]))]) == [Expired(Expiry.ended)]


def test_plain_timer_is_no_flow(world: World) -> None:
    world.services.arm([timer(world, 7, world.now(), A)])
    assert world.services.expire([Ending(PAIR[:1], A, None), Ending(PAIR, b"", None)]) == [Expired(Expiry.lost)] * 2
    assert [claim.keys for claim in world.services.claim(10, LEASE)] == [(key(7),)]


def test_moved_timer_of_a_flow_keeps_counter_and_partner(world: World) -> None:
    made(world)
    assert world.services.move([Move(A, timer(world, 7, world.now(), B))]) == [True]
    claim = due(world)
    assert claim.keys == PAIR
    world.services.expire([Ending(PAIR, claim.token, current(world, PAIR[0]))])
    assert world.left() == 0


def test_backstop_ends_a_record_whose_timer_nobody_served(world: World) -> None:
    now = world.services.now()
    value = record(world, 1, 1_600_000_000_000 + (world.now() - now))
    assert world.services.create([NewFlow(PAIR, value, now - 1, A, LOAD)]) == [Created(Creation.created)]
    assert world.services.read(PAIR) == [None, None]
    [claim] = world.services.claim(10, LEASE)
    assert world.services.expire([Ending(PAIR, claim.token, None)]) == [Expired(Expiry.ended)]
    assert world.left() == 0


def test_pair_changes_together_or_not_at_all(world: World) -> None:
    made(world)
    old, fresh = current(world, PAIR[0]), record(world, 5, world.now() + SPAN)
    backstop = world.stored(world.now()) + BACKSTOP
    wrong = PairChange(PAIR, fresh, fresh, backstop)
    assert world.services.change_pairs([wrong]) == [PairChanged(False, (old, old))]
    assert world.services.change_pairs([PairChange(PAIR, old, fresh, backstop)]) == [PairChanged(True, (fresh, fresh))]
    world.vanish(PAIR[1])
    assert world.services.change_pairs([PairChange(PAIR, fresh, old, backstop)]) == [PairChanged(False, (fresh, None))]
    assert world.services.read(PAIR) == [fresh, None]


def test_deleted_pair_is_gone_when_its_short_life_ends(world: World) -> None:
    made(world, PAIR, b"")
    old, past = current(world, PAIR[0]), world.services.now() - 1
    last = record(world, 2, past - 1 + world.now() - world.services.now())
    assert world.services.change_pairs([PairChange(PAIR, old, last, past)]) == [PairChanged(True, (None, None))]
    assert world.services.read(PAIR) == [None, None]
