"""Flows as the engine writes them, in one call: a pair of keys, with them timer, entry and counter. On a real store.

Each reply and each condition; races of two callers; a full store; and how these calls go together with the claiming and
expiring of timers. tests/test_flow_puts_random.py holds them against a model.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from service_worlds import BACKSTOP, DEPLOYMENT, SPAN, ValkeyWorld, key, valkey_world
from statelessnf.errors import StoreRefused, StoreReplyError
from statelessnf.store.client import Reply, StoreClient, Word
from statelessnf.store.library import call_functions
from statelessnf.store.service_requests import Claim, Ending, Expired, Expiry
from statelessnf.store.shards import service_keys
from statelessnf.store.url import unix_url
from statelessnf.store.valkey_services import ValkeyServices

pytestmark = pytest.mark.beside

NAME = b"test\r\n"
KEYS = service_keys(7, DEPLOYMENT, NAME)
FLOW, PARTNER, OTHER = key(7), key(8, 7), key(9, 7)
TOKEN, SECOND = b"\x00\r\n tok1", b"$-1\r\n\xff\xfe\xff"
SERVER, ANOTHER = b"\x00\r\n\xff srv", b"\x01\r\n\xff srv"
NOW = 1_700_000_000_000  # what callers say; the store's own clock is later
FAR = 1 << 52
Put = Callable[..., Reply]


def record(nonce: int, deadline: int) -> bytes:
    """With bytes behind the envelope that a protocol might trip over."""
    return struct.pack("<BQQ", 1, nonce, deadline) + b"\x00\r\n$3\r\n"


ONE, TWO, THREE = record(1, NOW + 1), record(2, NOW + 2), record(3, NOW + 3)


@pytest.fixture
def store(services_server: Path) -> Iterator[ValkeyWorld]:
    with valkey_world(services_server) as world:
        yield world


@pytest.fixture
def client(services_server: Path) -> Iterator[StoreClient]:
    with StoreClient(unix_url(str(services_server))) as client:
        yield client


def pair(client: StoreClient, keys: tuple[bytes, ...], kind: str, old: bytes, new: bytes, make: bool = False) -> Reply:
    name = "snf_pair_make" if make else "snf_pair_put"
    words: tuple[Word, ...] = ("FCALL", name, len(keys), *keys, kind, old, new, FAR, NOW)
    [reply] = call_functions(client, [words])
    return reply


def timed(
    client: StoreClient, keys: tuple[bytes, ...], kind: str, old: bytes, new: bytes,
    counter: bytes = SERVER, token: bytes = TOKEN, make: bool = False, now: int = NOW,
) -> Reply:  # fmt: skip
    name = "snf_flow_make" if make else "snf_flow_put"
    words: tuple[Word, ...] = ("FCALL", name, 3 + len(keys), *KEYS, *keys, kind, old, new, FAR, now, token, counter)
    [reply] = call_functions(client, [words])
    return reply


BOTH = pytest.mark.parametrize("put", [pair, timed])
ANY = pytest.mark.parametrize("make", [False, True])


def stands(store: ValkeyWorld, *values: bytes | None) -> None:
    """What is under FLOW, PARTNER and OTHER."""
    assert store.raw.mget(FLOW, PARTNER, OTHER) == [*values, *[None] * (3 - len(values))]


# The records


@ANY
@BOTH
def test_pair_is_made_where_both_keys_are_free(store: ValkeyWorld, client: StoreClient, put: Put, make: bool) -> None:
    assert put(client, (FLOW, PARTNER), "anew", b"", ONE, make=make) == [1]
    stands(store, ONE, ONE)
    assert [store.raw.pexpiretime(name) for name in (FLOW, PARTNER)] == [FAR, FAR]
    assert put(client, (FLOW, PARTNER), "anew", b"", TWO, make=make) == [0, ONE]
    assert put(client, (PARTNER, OTHER), "anew", b"", TWO, make=make) == [0, ONE]
    assert put(client, (OTHER, PARTNER), "anew", b"", TWO, make=make) == [2]
    stands(store, ONE, ONE)


@BOTH
def test_pair_is_changed_where_both_keys_hold_the_old_record(store: ValkeyWorld, client: StoreClient, put: Put) -> None:
    keys = (FLOW, PARTNER)
    assert put(client, keys, "same", ONE, TWO) == [0, None]
    put(client, keys, "anew", b"", ONE)
    assert put(client, keys, "same", TWO, THREE) == [0, ONE]
    assert put(client, keys, "same", ONE, TWO) == [1]
    stands(store, TWO, TWO)


@pytest.mark.parametrize("other", [None, THREE, b""])
@BOTH
def test_broken_pair_is_not_changed(store: ValkeyWorld, client: StoreClient, put: Put, other: bytes | None) -> None:
    """Its partner is gone, or somebody else's by now."""
    store.raw.set(FLOW, ONE)
    if other is not None:
        store.raw.set(PARTNER, other)
    assert put(client, (FLOW, PARTNER), "same", ONE, TWO) == [3]
    stands(store, ONE, other)


@pytest.mark.parametrize("old", [b"", ONE])
@pytest.mark.parametrize(
    ("other", "free"),
    [
        (record(9, NOW - 1), True),
        (record(9, NOW), False),
        (record(9, NOW + 1), False),
        (b"", False),
        (b"\x02" + record(9, NOW - 1)[1:], False),
        (record(9, (1 << 64) - 1), False),
        (record(9, 0)[:16], False),
        (ONE, False),
    ],
)
@BOTH
def test_partner_is_taken_over_only_where_it_is_past_its_deadline(
    store: ValkeyWorld, client: StoreClient, put: Put, other: bytes, free: bool, old: bytes
) -> None:
    store.raw.set(PARTNER, other)
    if old:
        store.raw.set(FLOW, old)
    free = free or other == old != b""
    assert put(client, (FLOW, PARTNER), "anew", old, TWO) == [1 if free else 2]
    stands(store, TWO if free else old or None, TWO if free else other)


@BOTH
def test_empty_value_of_a_stranger_is_not_taken_for_an_absent_one(
    store: ValkeyWorld, client: StoreClient, put: Put
) -> None:
    store.raw.set(FLOW, b"")
    assert put(client, (FLOW, PARTNER), "anew", b"", ONE) == [0, b""]
    stands(store, b"")


@pytest.mark.parametrize("former", [ONE, THREE, None])
@BOTH
def test_flow_moves_to_another_partner(store: ValkeyWorld, client: StoreClient, put: Put, former: bytes | None) -> None:
    """The former one is deleted unless it is somebody else's by now."""
    store.raw.set(FLOW, ONE)
    if former:
        store.raw.set(OTHER, former)
    assert put(client, (FLOW, PARTNER, OTHER), "anew", ONE, TWO) == [1]
    stands(store, TWO, TWO, None if former == ONE else former)


@BOTH
def test_refused_move_leaves_the_former_partner(store: ValkeyWorld, client: StoreClient, put: Put) -> None:
    store.raw.mset({FLOW: ONE, OTHER: ONE, PARTNER: THREE})
    assert put(client, (FLOW, PARTNER, OTHER), "anew", ONE, TWO) == [2]
    assert put(client, (FLOW, PARTNER, OTHER), "anew", THREE, TWO) == [0, ONE]
    stands(store, ONE, THREE, ONE)


@BOTH
def test_former_partner_that_is_the_new_one_stays(store: ValkeyWorld, client: StoreClient, put: Put) -> None:
    store.raw.mset({FLOW: ONE, PARTNER: ONE})
    for _ in range(2):
        assert put(client, (FLOW, PARTNER, PARTNER), "anew", ONE, ONE) == [1]
        stands(store, ONE, ONE)


@BOTH
def test_new_flow_without_a_record_before_has_no_former_partner(
    store: ValkeyWorld, client: StoreClient, put: Put
) -> None:
    store.raw.set(OTHER, b"")
    assert put(client, (FLOW, PARTNER, OTHER), "anew", b"", ONE) == [1]
    stands(store, ONE, ONE, b"")


@pytest.mark.parametrize("name", [FLOW, PARTNER, OTHER, KEYS.entries])
def test_key_of_another_type_is_reported_before_anything_is_written(
    store: ValkeyWorld, client: StoreClient, name: bytes
) -> None:
    for put in (pair, timed):
        store.raw.flushall()
        store.raw.rpush(name, "a stranger's")
        if name != FLOW:
            store.raw.set(FLOW, ONE)
        if name == KEYS.entries and put is pair:
            continue
        with pytest.raises(StoreReplyError, match="WRONGTYPE"):
            put(client, (FLOW, PARTNER, OTHER), "anew", b"" if name == FLOW else ONE, TWO)
        assert store.raw.type(name) == b"list"
        assert store.left() == (1 if name == FLOW else 2)


# Timer, entry and counter


def kept(store: ValkeyWorld) -> tuple[object, object, object]:
    """Timer's due time, entry, counters."""
    timer, entry = store.raw.zscore(KEYS.timers, FLOW), store.raw.hget(KEYS.entries, FLOW)
    assert store.raw.zcard(KEYS.timers) == store.raw.hlen(KEYS.entries) == (entry is not None)
    return timer, entry, store.raw.hgetall(KEYS.counters)


def entry(counter: bytes, partner: bytes = b"", token: bytes = TOKEN) -> bytes:
    return token + bytes([len(counter)]) + counter + partner


@pytest.mark.parametrize("counter", [SERVER, b"", bytes(255)])
@pytest.mark.parametrize("partner", [(), (PARTNER,)])
def test_created_with_all_that_snf_create_makes(
    store: ValkeyWorld, client: StoreClient, partner: tuple[bytes, ...], counter: bytes
) -> None:
    keys = (FLOW, *partner)
    assert timed(client, keys, "anew", b"", ONE, counter, make=True) == [1]
    found = kept(store)
    assert found == (NOW + 1, entry(counter, *partner), {counter: b"1"} if counter else {})
    store.raw.flushall()
    created: tuple[Word, ...] = ("FCALL", "snf_create", 3 + len(keys), *KEYS, *keys, ONE, FAR, TOKEN, counter)
    assert call_functions(client, [created]) == [[1]]
    assert kept(store) == found


@pytest.mark.parametrize("kind", ["same", "anew"])
def test_flow_of_one_key(store: ValkeyWorld, client: StoreClient, kind: str) -> None:
    timed(client, (FLOW,), "anew", b"", ONE)
    assert timed(client, (FLOW,), kind, TWO, THREE) == [0, ONE]
    assert timed(client, (FLOW,), kind, ONE, TWO) == [1]
    stands(store, TWO)
    assert kept(store) == (NOW + 1, entry(SERVER), {SERVER: b"1"})


@pytest.mark.parametrize("before", [SERVER, ANOTHER, b""])
@pytest.mark.parametrize("after", [SERVER, b""])
def test_counter_moves_and_token_stays(store: ValkeyWorld, client: StoreClient, before: bytes, after: bytes) -> None:
    timed(client, (FLOW, PARTNER), "anew", b"", ONE, before)
    assert timed(client, (FLOW, OTHER, PARTNER), "anew", ONE, TWO, after, SECOND) == [1]
    assert kept(store) == (NOW + 1, entry(after, OTHER), {after: b"1"} if after else {})


@pytest.mark.parametrize("deadline", [NOW - 5, NOW + 5])
def test_timer_comes_earlier_and_never_later(store: ValkeyWorld, client: StoreClient, deadline: int) -> None:
    timed(client, (FLOW,), "anew", b"", ONE)
    assert timed(client, (FLOW,), "same", ONE, record(2, deadline)) == [1]
    assert kept(store)[0] == min(deadline, NOW + 1)


def test_refused_put_leaves_timer_and_counter(store: ValkeyWorld, client: StoreClient) -> None:
    timed(client, (FLOW, PARTNER), "anew", b"", ONE)
    before = kept(store)
    early = record(2, 1)
    assert timed(client, (FLOW, PARTNER), "same", TWO, early, ANOTHER) == [0, ONE]
    store.raw.set(OTHER, THREE)
    assert timed(client, (FLOW, OTHER), "anew", ONE, early, ANOTHER) == [2]
    assert timed(client, (FLOW, OTHER), "same", ONE, early, ANOTHER) == [3]
    assert kept(store) == before


@pytest.mark.parametrize("broken", [b"x", SECOND + b"\xff", SECOND + b"\x03ab"])
def test_broken_entry_of_a_stranger_gives_way(store: ValkeyWorld, client: StoreClient, broken: bytes) -> None:
    store.raw.hset(KEYS.entries, FLOW, broken)
    assert timed(client, (FLOW,), "anew", b"", ONE) == [1]
    assert kept(store) == (NOW + 1, entry(SERVER), {SERVER: b"1"})


def test_plain_timer_becomes_the_flows(store: ValkeyWorld, client: StoreClient) -> None:
    store.raw.hset(KEYS.entries, FLOW, SECOND)
    store.raw.zadd(KEYS.timers, {FLOW: NOW})
    assert timed(client, (FLOW, PARTNER), "anew", b"", ONE) == [1]
    assert kept(store) == (NOW, entry(SERVER, PARTNER, SECOND), {SERVER: b"1"})


# Races


@BOTH
def test_of_two_callers_who_make_or_change_a_flow_one_succeeds(
    store: ValkeyWorld, services_server: Path, put: Put
) -> None:
    """Two inside hosts want the same outer key; then two instances change the flow that stands."""
    together = Barrier(2)

    def attempt(name: bytes, kind: str, old: bytes, new: bytes) -> Reply:
        with StoreClient(unix_url(str(services_server))) as own:
            own.call("PING")
            together.wait(60)
            return put(own, (name, PARTNER), kind, old, new)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(30):
            store.raw.flushall()
            made = pool.map(attempt, (FLOW, OTHER), ("anew",) * 2, (b"",) * 2, (ONE, TWO))
            assert sorted(map(str, made)) == ["[1]", "[2]"]
            name = FLOW if store.raw.exists(FLOW) else OTHER
            old = store.raw.get(name)
            changed = list(pool.map(attempt, (name,) * 2, ("same",) * 2, (old,) * 2, (THREE, record(4, NOW))))
            assert changed.count([1]) == 1
            assert store.raw.mget(name, PARTNER) == [store.raw.get(name)] * 2
            assert [0, store.raw.get(name)] in changed


# A full store


def test_full_store_refuses_makes_and_lets_puts_pass(valkey_server: Path) -> None:
    with valkey_world(valkey_server) as world, StoreClient(unix_url(str(valkey_server))) as client:
        timed(client, (FLOW, PARTNER), "anew", b"", ONE)
        world.raw.config_set("maxmemory", 1 << 20)
        for put in (pair, timed):
            with pytest.raises(StoreRefused, match="memory is full"):
                put(client, (OTHER, key(10, 7)), "anew", b"", ONE, make=True)
            assert put(client, (FLOW, PARTNER), "same", ONE, TWO) == [1]
            assert put(client, (FLOW, OTHER, PARTNER), "anew", TWO, THREE) == [1]
            assert put(client, (FLOW, PARTNER, OTHER), "anew", THREE, ONE) == [1]
        stands(world, ONE, ONE)


# With claims and expiry


def claim_of(services: ValkeyServices) -> Claim:
    [claim] = services.claim(10, SPAN)
    return claim


def test_moved_flow_leaves_nothing_when_it_has_expired(store: ValkeyWorld, client: StoreClient) -> None:
    """Made, moved to another server, expired: by the claim of the new pair, not by the one of the old."""
    services = ValkeyServices(client, DEPLOYMENT, NAME)
    timed(client, (FLOW, PARTNER), "anew", b"", ONE)
    early = claim_of(services)
    timed(client, (FLOW, OTHER, PARTNER), "anew", ONE, TWO, ANOTHER)
    assert services.counts() == {ANOTHER: 1}
    assert early.keys == (FLOW, PARTNER)
    assert services.expire([Ending(early.keys, early.token, TWO)]) == [Expired(Expiry.lost)]
    late = claim_of(services)  # the timer came back to the deadline, lease or not
    assert late.keys == (FLOW, OTHER)
    assert services.expire([Ending(late.keys, late.token, ONE)]) == [Expired(Expiry.changed, TWO)]
    assert services.expire([Ending(late.keys, late.token, TWO)]) == [Expired(Expiry.ended)]
    assert store.left() == 0


def test_refreshed_flow_outlives_its_timer(store: ValkeyWorld, client: StoreClient) -> None:
    services = ValkeyServices(client, DEPLOYMENT, NAME)
    timed(client, (FLOW, PARTNER), "anew", b"", ONE)
    claim = claim_of(services)
    fresh = record(2, services.now() + SPAN)
    timed(client, (FLOW, PARTNER), "same", ONE, fresh)
    assert services.expire([Ending(claim.keys, claim.token, ONE)]) == [Expired(Expiry.rearmed, fresh)]
    assert services.claim(10, SPAN) == []
    assert services.counts() == {SERVER: 1}
    timed(client, (FLOW, PARTNER), "same", fresh, TWO)
    claim = claim_of(services)
    assert services.expire([Ending(claim.keys, claim.token, TWO)]) == [Expired(Expiry.ended)]
    assert store.left() == 0


def test_vanished_record_is_made_up_for_by_the_next_flow(store: ValkeyWorld, client: StoreClient) -> None:
    """Its own time of expiry came before its timer: the entry is the next flow's, the counter moves with it."""
    services = ValkeyServices(client, DEPLOYMENT, NAME)
    timed(client, (FLOW, PARTNER), "anew", b"", ONE)
    store.raw.delete(FLOW, PARTNER)
    assert timed(client, (FLOW, OTHER), "anew", b"", TWO, ANOTHER, SECOND, make=True) == [1]
    assert kept(store) == (NOW + 1, entry(ANOTHER, OTHER), {ANOTHER: b"1"})
    claim = claim_of(services)
    assert services.expire([Ending(claim.keys, claim.token, TWO)]) == [Expired(Expiry.ended)]
    assert store.left() == 0


def test_flow_whose_partner_was_taken_over_ends_without_harm(store: ValkeyWorld, client: StoreClient) -> None:
    services = ValkeyServices(client, DEPLOYMENT, NAME)
    timed(client, (FLOW, PARTNER), "anew", b"", ONE)
    fresh = record(2, services.now() + BACKSTOP)
    assert timed(client, (OTHER, PARTNER), "anew", b"", fresh, SERVER, SECOND, now=NOW + 2) == [1]
    assert timed(client, (FLOW, PARTNER), "same", ONE, TWO) == [3]
    claim = claim_of(services)
    assert services.expire([Ending(claim.keys, claim.token, ONE)]) == [Expired(Expiry.ended)]
    assert services.counts() == {SERVER: 1}
    stands(store, None, fresh, fresh)
