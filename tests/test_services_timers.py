"""The contract of timers, on both back ends: each test is a promise of services.py."""

from __future__ import annotations

import pytest

from service_worlds import SPAN, World, key, timer
from statelessnf.store.service_requests import (
    Claim,
    Move,
    Timer,
    new_token,
)

pytestmark = pytest.mark.beside

A, B, C = b"\x00\r\n tok1", b"$-1\r\n\xff\xfe\xff", b"*0\r\n\x00\x01\x02\x03"
LEASE = SPAN // 2


def claim_all(world: World) -> dict[bytes, Claim]:
    return {claim.id: claim for claim in world.services.claim(1000, LEASE)}


def test_clock_goes_on(world: World) -> None:
    assert 1_600_000_000_000 < world.services.now() <= world.services.now() < 1 << 53


def test_timer_is_claimed_when_due_and_not_before(world: World) -> None:
    now = world.now()
    assert world.services.arm([timer(world, 1, now + SPAN, A), timer(world, 2, now + 3 * SPAN, B)]) == [True, True]
    assert world.services.claim(10, LEASE) == []
    world.pass_time(2 * SPAN)
    [claim] = world.services.claim(10, LEASE)
    assert claim.keys == (key(1),)
    assert world.services.claim(10, LEASE) == []
    assert world.services.end([(claim.id, claim.token)]) == [True]
    assert list(claim_all(world)) == []
    world.pass_time(2 * SPAN)
    assert list(claim_all(world)) == [key(2)]


def test_armed_once(world: World) -> None:
    now = world.now()
    first = timer(world, 1, now + SPAN, A)
    assert world.services.arm([first]) == [True]
    assert world.services.arm([first]) == [True]  # the same request again: its reply was lost
    assert world.services.arm([timer(world, 1, now, B)]) == [False]
    assert world.services.claim(10, LEASE) == []  # the refused one changed nothing
    assert world.services.end([(key(1), B), (key(1), A), (key(1), A)]) == [False, True, False]
    assert world.left() == 0


def test_move_compares_the_token(world: World) -> None:
    now = world.now()
    world.services.arm([timer(world, 1, now + SPAN, A)])
    assert world.services.move([Move(B, timer(world, 1, now, C))]) == [False]
    assert world.services.move([Move(A, timer(world, 2, now, C))]) == [False]  # there is no such timer
    assert world.services.claim(10, LEASE) == []
    assert world.services.move([Move(A, timer(world, 1, now, C))]) == [True]
    assert world.services.move([Move(A, timer(world, 1, now, C))]) == [True]  # the same again
    assert list(claim_all(world)) == [key(1)]


def test_claimer_moves_its_timer_on(world: World) -> None:
    """What a health check does: it comes back, for ever."""
    world.services.arm([timer(world, 1, world.now(), A)])
    for _ in range(3):
        [claim] = world.services.claim(10, LEASE)
        token = new_token()
        assert world.services.move([Move(claim.token, timer(world, 1, world.now() + SPAN, token))]) == [True]
        assert world.services.end([(claim.id, claim.token)]) == [False]  # the claim is over
        assert world.services.claim(10, LEASE) == []
        world.pass_time(2 * SPAN)


def test_cancelled_timer_fires_never_and_leaves_nothing(world: World) -> None:
    world.services.arm([timer(world, number, world.now() + SPAN, A) for number in range(20)])
    assert all(world.services.end([(key(number), A) for number in range(20)]))
    world.pass_time(2 * SPAN)
    assert world.services.claim(10, LEASE) == []
    assert world.left() == 0


def test_dead_claimers_timer_is_handed_out_again_after_its_lease(world: World) -> None:
    world.services.arm([timer(world, 1, world.now(), A)])
    [first] = world.services.claim(10, 2 * SPAN)
    world.pass_time(SPAN)
    assert world.services.claim(10, LEASE) == []
    world.pass_time(2 * SPAN)
    [second] = world.services.claim(10, LEASE)
    assert second.id == first.id
    assert second.token != first.token
    later = timer(world, 1, world.now(), C)
    assert world.services.move([Move(first.token, later)]) == [False]  # it was only slow: too late
    assert world.services.end([(first.id, first.token), (second.id, second.token)]) == [False, True]
    assert world.left() == 0


def test_slow_claimer_whose_timer_nobody_took_may_still_end_it(world: World) -> None:
    world.services.arm([timer(world, 1, world.now(), A)])
    [claim] = world.services.claim(10, LEASE)
    world.pass_time(2 * SPAN)
    assert world.services.end([(claim.id, claim.token)]) == [True]


def test_claims_no_more_than_asked_and_misses_none(world: World) -> None:
    world.services.arm([timer(world, number, world.now() - number, A) for number in range(700)])
    seen: list[bytes] = []
    for limit in (1, 5, 33, 400, 1000):
        claims = world.services.claim(limit, LEASE)
        assert len(claims) == min(limit, 700 - len(seen))
        seen += [claim.id for claim in claims]
    assert sorted(seen) == sorted(key(number) for number in range(700))


def test_claims_all_of_one_shard(world: World) -> None:
    ids = [key(number, 9) for number in range(2500)]
    world.services.arm([Timer(name, world.stored(world.now()), A) for name in ids])
    claims = world.services.claim(2400, LEASE)
    assert len(claims) == len({claim.id for claim in claims}) == 2400
    assert len(world.services.claim(2400, LEASE)) == 100


def test_hasten_only_makes_earlier_and_creates_nothing(world: World) -> None:
    now = world.now()
    world.services.hasten([(key(1), world.stored(now))])
    assert world.left() == 0
    world.services.arm([timer(world, 1, now + 3 * SPAN, A), timer(world, 2, now + SPAN, B)])
    world.services.hasten([(key(1), world.stored(now + SPAN)), (key(2), world.stored(now + 9 * SPAN))])
    world.pass_time(2 * SPAN)
    assert set(claim_all(world)) == {key(1), key(2)}
    assert world.services.end([(key(2), B)]) == [False]  # claimed; hastening had left its token


def test_hastened_while_claimed_is_handed_out_again(world: World) -> None:
    world.services.arm([timer(world, 1, world.now(), A)])
    [first] = world.services.claim(1, 10 * SPAN)
    world.services.hasten([(key(1), world.stored(world.now()))])
    [second] = world.services.claim(1, LEASE)
    assert world.services.end([(key(1), first.token), (key(1), second.token)]) == [False, True]
