"""The contract of the store services, on both back ends: each test is a promise of services.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import running_valkey
from service_worlds import BACKSTOP, DEPLOYMENT, SPAN, MemoryWorld, World, flow, key, record, timer, valkey_world
from statelessnf.store.client import StoreClient
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
    Timer,
    new_token,
)
from statelessnf.store.url import unix_url
from statelessnf.store.valkey_services import ValkeyServices

A, B, C = b"\x00\r\n tok1", b"$-1\r\n\xff\xfe\xff", b"*0\r\n\x00\x01\x02\x03"
LEASE = SPAN // 2
PAIR = (key(7), key(8, 7))
LOAD = b"server\r\n\x00\xff 10.0.0.1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with running_valkey(tmp_path_factory.mktemp("services")) as socket:
        yield socket


@pytest.fixture(params=["memory", "valkey"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        yield MemoryWorld()
    else:
        with valkey_world(request.getfixturevalue("server")) as found:
            yield found


def claim_all(world: World) -> dict[bytes, Claim]:
    return {claim.id: claim for claim in world.services.claim(1000, LEASE)}


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


def test_clock_goes_on(world: World) -> None:
    assert 1_600_000_000_000 < world.services.now() <= world.services.now() < 1 << 53


# Timers


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


def test_empty_requests(world: World) -> None:
    services = world.services
    assert (services.arm([]), services.move([]), services.end([])) == ([], [], [])
    assert (services.create([]), services.expire([]), services.change_pairs([]), services.read([])) == ([], [], [], [])
    services.hasten([])
    assert services.counts() == {}


# Flows and counters


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
    assert list(claim_all(world)) == [key(7)]


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


# Pairs


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


# What no caller may ask


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Timer(b"{0}x", 1, A),
        lambda: Timer(b"", 1, A),
        lambda: Timer(key(1), -1, A),
        lambda: Timer(key(1), (1 << 53) + 1, A),
        lambda: Timer(key(1), 1, b"short"),
        lambda: Move(A, Timer(key(1), 1, A)),
        lambda: Move(b"", Timer(key(1), 1, A)),
        lambda: NewFlow((), b"\x01" + bytes(16), 1, A),
        lambda: NewFlow((key(1), key(1)), b"\x01" + bytes(16), 1, A),
        lambda: NewFlow((key(1), key(2)), b"\x01" + bytes(16), 1, A),
        lambda: NewFlow((key(1),), b"\x01" + bytes(15), 1, A),
        lambda: NewFlow((key(1),), b"\x02" + bytes(16), 1, A),
        lambda: NewFlow((key(1),), b"\x01" + bytes(8) + (2).to_bytes(8, "little"), 1, A),
        lambda: NewFlow((key(1),), b"\x01" + bytes(16), 0, A),
        lambda: NewFlow((key(1),), b"\x01" + bytes(8) + b"\xff" * 8, 1 << 53, A),
        lambda: NewFlow((key(1),), b"\x01" + bytes(16), 1, A, bytes(256)),
        lambda: Ending((key(1),), b"x", None),
        lambda: PairChange(PAIR, b"", b"\x01" + bytes(16), 1),
        lambda: PairChange(PAIR[:1], b"x", b"\x01" + bytes(16), 1),  # type: ignore[arg-type]  # the wrong type is the test
        lambda: PairChange(PAIR, b"x", b"", 1),
    ],
)
def test_impossible_requests(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match=r"."):
        wrong()


@pytest.mark.parametrize(("limit", "lease"), [(0, 1), (-1, 1), (1, 0), (100_001, 1), (1, 1 << 54)])
def test_impossible_claims(world: World, limit: int, lease: int) -> None:
    with pytest.raises(ValueError, match="from"):
        world.services.claim(limit, lease)


def test_deployments_and_names_keep_apart(server: Path) -> None:
    with valkey_world(server) as world, StoreClient(unix_url(str(server))) as client:
        made(world)
        world.pass_time(2 * SPAN)
        for deployment, name in ((DEPLOYMENT + 1, b"test\r\n"), (DEPLOYMENT, b"other")):
            other = ValkeyServices(client, deployment, name)
            assert other.claim(10, LEASE) == []
            assert other.counts() == {}
        with pytest.raises(ValueError, match="name"):
            ValkeyServices(client, DEPLOYMENT, b"")
