"""The library in a real server: versions, races, loss, hostile calls, a full store, what replicas get; and the tags."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import valkey
from valkey.exceptions import ResponseError

from conftest import ROOT, eventually, running_valkey
from service_worlds import BACKSTOP, DEPLOYMENT, SPAN, flow, key, record, timer, valkey_world
from statelessnf._engine import describe
from statelessnf.errors import StoreRefused, StoreReplyError, StoreUnavailable
from statelessnf.store.client import FunctionMissing, StoreClient
from statelessnf.store.library import call_functions, ensure_library, library_source, library_version, loaded_version
from statelessnf.store.service_requests import Creation, Ending, Expiry, PairChange, deadline_of
from statelessnf.store.shards import SHARDS, TAGS, service_keys, shard_of, slot
from statelessnf.store.url import StoreUrl, unix_url
from statelessnf.store.valkey_services import ValkeyServices

pytestmark = pytest.mark.beside

VERSION = library_version(library_source())
A, B = b"token\r\n1", b"token\x00\xff2"
NOW = 1_700_000_000_000


def of_version(version: int) -> str:
    """This release's library under another version."""
    return library_source().replace(f"local VERSION = {VERSION}\n", f"local VERSION = {version}\n")


@pytest.fixture
def raw(valkey_server: Path) -> Iterator[Any]:  # the package's types cover text only
    with valkey.Valkey(unix_socket_path=str(valkey_server)) as client:
        yield client


@pytest.fixture
def client(valkey_server: Path) -> Iterator[StoreClient]:
    with StoreClient(unix_url(str(valkey_server))) as client:
        yield client


# Versions


def test_loaded_where_absent_or_older_and_never_in_place_of_a_newer_one(client: StoreClient) -> None:
    assert loaded_version(client) == 0
    assert ensure_library(client) == VERSION
    assert ensure_library(client) == VERSION
    assert ensure_library(client, of_version(VERSION + 2)) == VERSION + 2
    assert ensure_library(client, of_version(VERSION + 1)) == VERSION + 2
    assert ensure_library(client) == loaded_version(client) == VERSION + 2


def test_loading_leaves_no_key_and_the_clients_database_alone(raw: Any, valkey_server: Path) -> None:
    with StoreClient(StoreUrl("unix", path=str(valkey_server), database=3)) as third:
        ensure_library(third)
        third.call("SET", "where", "three")
    assert raw.dbsize() == 0
    assert raw.info("keyspace")["db3"]["keys"] == 1


def test_newest_wins_whoever_races(valkey_server: Path, raw: Any) -> None:
    """Three releases at once, from different databases; the check and the load of each must be one step."""
    together = Barrier(6)

    def load(number: int) -> int:
        with StoreClient(StoreUrl("unix", path=str(valkey_server), database=number % 2)) as one:
            together.wait(60)
            return ensure_library(one, of_version(VERSION + number % 3))

    for _ in range(30):
        raw.function_flush()
        with ThreadPoolExecutor(6) as pool:
            versions = list(pool.map(load, range(6)))
        assert all(version >= VERSION + number % 3 for number, version in enumerate(versions))
        assert raw.fcall_ro("snf_version", 0) == VERSION + 2


def test_older_one_that_checked_early_does_not_replace_the_newer(
    client: StoreClient, raw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newer library comes between the older release's check and its load."""
    call = StoreClient.call
    seen: list[bool] = []

    def delayed(self: StoreClient, *words: str | bytes | int) -> object:
        if words[0] == "MULTI" and not seen:
            seen.append(True)
            with raw.client() as newer, newer.pipeline() as transaction:
                transaction.execute_command("SET", "statelessnf:library", VERSION + 1)
                transaction.execute_command("FUNCTION", "LOAD", "REPLACE", of_version(VERSION + 1))
                transaction.execute_command("DEL", "statelessnf:library")
                transaction.execute()
        return call(self, *words)

    monkeypatch.setattr(StoreClient, "call", delayed)
    assert ensure_library(client) == VERSION + 1
    assert seen


def test_lost_library_is_loaded_again(client: StoreClient, raw: Any) -> None:
    services = ValkeyServices(client, DEPLOYMENT, b"x")
    raw.function_flush()
    assert services.claim(1, 1) == []
    assert loaded_version(client) == VERSION
    raw.flushall()
    assert loaded_version(client) == VERSION  # functions are no keys


def test_foreign_library_of_the_name_is_replaced(client: StoreClient, raw: Any) -> None:
    raw.function_load("#!lua name=statelessnf\nserver.register_function('other', function() return 1 end)")
    assert ensure_library(client) == VERSION


def test_foreign_version_is_reported(client: StoreClient, raw: Any) -> None:
    code = (
        "server.register_function{function_name='snf_version', callback=function() return 'x' end, flags={'no-writes'}}"
    )
    raw.function_load(f"#!lua name=other\n{code}")
    with pytest.raises(StoreReplyError, match="no version but b'x'"):
        ensure_library(client)


def test_function_that_even_the_newest_lacks(client: StoreClient) -> None:
    with pytest.raises(FunctionMissing, match="Function not found"):
        call_functions(client, [("FCALL", "snf_of_tomorrow", 0)])


def test_library_without_a_version() -> None:
    with pytest.raises(ValueError, match="VERSION"):
        library_version("#!lua name=statelessnf")


def test_broken_library_is_reported(client: StoreClient) -> None:
    with pytest.raises(StoreReplyError, match="ERR"):
        ensure_library(client, f"#!lua name=statelessnf\nlocal VERSION = {VERSION}\nnonsense")


def test_unreachable_store(tmp_path: Path) -> None:
    with StoreClient(unix_url(str(tmp_path / "none"))) as nobody, pytest.raises(StoreUnavailable):
        ValkeyServices(nobody, DEPLOYMENT, b"x")


# The client's batches


def test_batch_has_errors_in_their_places(client: StoreClient) -> None:
    one, two, three = client.batch([("SET", "k", b"\r\n"), ("INCR", "k"), ("GET", "k")])
    assert (one, three) == (b"OK", b"\r\n")
    assert isinstance(two, StoreReplyError)
    assert client.batch([]) == []
    with pytest.raises(StoreReplyError):  # within another reply an error has no place
        client.batch([("MULTI",), ("INCR", "k"), ("EXEC",)])
    assert client.call("GET", "k") == b"\r\n"


# Tags


def datagram(port: int) -> bytes:
    """An Ethernet frame with an empty UDP datagram from `port`."""
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 1, 0, 64, 17, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")
    checksum = 0xFFFF - sum(struct.unpack("!10H", header)) % 0xFFFF
    header = header[:10] + struct.pack("!H", checksum) + header[12:]
    return bytes(12) + b"\x08\0" + header + struct.pack("!4H", port, 53, 8, 0)


def test_tags_are_those_of_the_engine() -> None:
    """By the keys that the engine makes: for each shard one tag, its slots in that shard's range."""
    seen = set()
    for port in range(1000, 7000):
        what, found, _ = describe(datagram(port), DEPLOYMENT, 1)
        assert what == "flow"
        assert found[4:8] == DEPLOYMENT.to_bytes(4, "little")
        assert TAGS[shard_of(found)] == found[1:3]
        seen.add(found[1:3])
    assert seen == set(TAGS)
    assert len(TAGS) == SHARDS
    assert [slot(tag) // 64 for tag in TAGS] == list(range(SHARDS))


def test_slots_are_those_of_the_server(tmp_path: Path) -> None:
    with (
        running_valkey(tmp_path, "--cluster-enabled", "yes") as place,
        valkey.Valkey(unix_socket_path=str(place)) as node,
    ):
        names = service_keys(77, DEPLOYMENT, b"nat")
        slots = {node.execute_command("CLUSTER", "KEYSLOT", name) for name in (*names, key(77))}
        assert slots == {slot(TAGS[77])}


def test_envelope_is_the_engines() -> None:
    text = (ROOT / "engine" / "record.hpp").read_text()
    assert re.search(r"envelope_size = 17;", text)
    assert re.search(r"std::memcpy\(to \+ 9, &envelope.deadline, 8\);", text)
    assert deadline_of(struct.pack("<BQQ", 1, 7, NOW) + b"fields") == NOW


# Hostile calls: refused, and nothing is changed

KEYS = service_keys(7, DEPLOYMENT, b"h")
FLOW, PARTNER = key(7), key(8, 7)
VALUE = struct.pack("<BQQ", 1, 1, NOW)
FCALLS: list[tuple[object, ...]] = [
    ("snf_timer_create", 2, *KEYS[:2], "id", "-1", A),
    ("snf_timer_create", 2, *KEYS[:2], "id", "1e3", A),
    ("snf_timer_create", 2, *KEYS[:2], "id", "nan", A),
    ("snf_timer_create", 2, *KEYS[:2], "id", "9007199254740993999", A),
    ("snf_timer_create", 2, *KEYS[:2], "id", "1", "short"),
    ("snf_timer_create", 2, *KEYS[:2], "id", "1"),
    ("snf_timer_create", 2, *KEYS[:2]),
    ("snf_timer_create", 0),
    ("snf_timer_update", 2, *KEYS[:2], "id", "1", "", A),
    ("snf_timer_update", 2, *KEYS[:2], "id", "1", A, A),
    ("snf_timer_claim", 2, *KEYS[:2], "0", "1", A),
    ("snf_timer_claim", 2, *KEYS[:2], "1001", "1", A),
    ("snf_timer_claim", 2, *KEYS[:2], "1", "0", A),
    ("snf_timer_claim", 2, *KEYS[:2], "1", "1", "x"),
    ("snf_timer_claim", 2, *KEYS[:2]),
    ("snf_create", 4, *KEYS, FLOW, b"", NOW, A, ""),
    ("snf_create", 4, *KEYS, FLOW, VALUE[:-1], NOW, A, ""),
    ("snf_create", 4, *KEYS, FLOW, b"\x02" + VALUE[1:], NOW, A, ""),
    ("snf_create", 4, *KEYS, FLOW, VALUE[:9] + b"\xff" * 8, NOW, A, ""),
    ("snf_create", 4, *KEYS, FLOW, VALUE, NOW - 1, A, ""),
    ("snf_create", 4, *KEYS, FLOW, VALUE, NOW, b"", ""),
    ("snf_create", 4, *KEYS, FLOW, VALUE, NOW, A, "x" * 256),
    ("snf_create", 4, *KEYS, FLOW),
    ("snf_create", 0),
    ("snf_expire", 0),
    ("snf_pair_set", 2, FLOW, PARTNER, b"", VALUE, NOW),
    ("snf_pair_set", 2, FLOW, PARTNER, VALUE, b"", NOW),
    ("snf_pair_set", 2, FLOW, PARTNER, VALUE, VALUE, "0"),
    ("snf_pair_set", 0),
]


@pytest.mark.parametrize("words", FCALLS)
def test_hostile_calls_are_refused_and_change_nothing(client: StoreClient, raw: Any, words: tuple[object, ...]) -> None:
    ensure_library(client)
    with pytest.raises(ResponseError):
        raw.execute_command("FCALL", *words)
    assert raw.dbsize() == 0


def test_entries_of_strangers_do_not_stop_a_shard(valkey_server: Path) -> None:
    """A timer without an entry, one with a broken entry: handed out as plain ones, and ended as such."""
    with valkey_world(valkey_server) as world:
        names = service_keys(7, DEPLOYMENT, b"test\r\n")
        for number, entry in ((7, None), (7 + 256, b"x"), (7 + 512, A + b"\xff"), (7 + 768, A + b"\x03ab")):
            world.raw.zadd(names.timers, {key(number): 1})
            if entry is not None:
                world.raw.hset(names.entries, key(number), entry)
        assert world.services.expire([Ending((key(7 + 512),), A, None)])[0].outcome is Expiry.lost
        claims = world.services.claim(10, SPAN)
        assert len(claims) == 4
        assert world.services.end([(claim.id, claim.token) for claim in claims]) == [True] * 4
        assert world.left() == 0


@pytest.mark.parametrize("foreign", [b"\x02" + VALUE[1:], VALUE[:9] + b"\xff" * 8, VALUE[:-1], b""])
def test_record_of_another_schema_stays(valkey_server: Path, foreign: bytes) -> None:
    with valkey_world(valkey_server) as world:
        world.services.create([flow(world, (FLOW,), 1, world.now() - 1, A, b"load")])
        world.raw.set(FLOW, foreign)
        with pytest.raises(StoreReplyError, match="another schema"):
            world.services.expire([Ending((FLOW,), A, foreign)])
        assert world.services.counts() == {b"load": 1}
        assert world.raw.get(FLOW) == foreign
        assert len(world.services.claim(10, SPAN)) == 1


@pytest.mark.parametrize("kind", range(3))
def test_key_of_another_type_is_reported(valkey_server: Path, kind: int) -> None:
    with valkey_world(valkey_server) as world:
        world.raw.set(service_keys(7, DEPLOYMENT, b"test\r\n")[kind], "a stranger's")
        with pytest.raises(StoreReplyError, match="WRONGTYPE"):
            world.services.create([flow(world, (FLOW,), 1, world.now(), A, b"load")])


# A full store


def test_full_store_refuses_what_grows_and_lets_go_of_the_rest(valkey_server: Path) -> None:
    with valkey_world(valkey_server) as world:
        services = world.services
        now = world.now()
        pair = (FLOW, PARTNER)
        services.create([flow(world, pair, 1, now, A, b"load")])
        services.arm([timer(world, 1, now, A)])
        world.raw.config_set("maxmemory", 1 << 20)
        with pytest.raises(StoreRefused, match="memory is full"):
            services.create([flow(world, (key(3),), 1, now, B)])
        with pytest.raises(StoreRefused, match="memory is full"):
            services.arm([timer(world, 3, now, B)])
        assert loaded_version_of(valkey_server) == VERSION
        [old, _] = services.read(pair)
        assert old is not None
        fresh = record(world, 2, now)
        assert services.change_pairs([PairChange(pair, old, fresh, world.stored(now) + BACKSTOP)])[0].changed
        claims = {claim.id: claim for claim in services.claim(10, SPAN)}
        assert services.expire([Ending(pair, claims[FLOW].token, fresh)])[0].outcome is Expiry.ended
        assert services.end([(key(1), claims[key(1)].token)]) == [True]
        assert services.counts() == {}
        assert world.left() == 0


def loaded_version_of(place: Path) -> int:
    with StoreClient(unix_url(str(place))) as another:
        return loaded_version(another)


# Replication


def test_effects_of_one_call_reach_the_log_as_one_transaction(tmp_path: Path) -> None:
    """What replicas and the append-only file get: all effects of a call or none, with the times that the call saw."""
    options = ("--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", "no")
    with running_valkey(tmp_path, *options) as place, valkey_world(place) as world:
        pair = (FLOW, PARTNER)
        made = flow(world, pair, 1, world.now(), A, b"load")
        assert world.services.create([made])[0].outcome is Creation.created
        assert world.services.expire([Ending(pair, b"", made.value)])[0].outcome is Expiry.ended
        log = b"".join(part.read_bytes() for part in sorted((tmp_path / "appendonlydir").glob("*.aof")))
        assert b"FUNCTION" in log
        transactions = re.findall(rb"MULTI\r\n(.*?)EXEC\r\n", log, re.DOTALL)
        creation, expiry = [part for part in transactions if b"FUNCTION" not in part]
        assert all(word in creation for word in (b"MSETEX", b"ZADD", b"HSETNX", b"HINCRBY", PARTNER))
        assert all(word in expiry for word in (b"ZREM", b"HDEL", b"HINCRBY", b"DEL", PARTNER))
        assert b"FCALL" not in creation + expiry


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_promoted_replica_has_library_timers_and_counters(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    port = str(free_port())
    follow = ("--replicaof", f"127.0.0.1 {port}", "--repl-diskless-sync-delay", "0")
    pair = (FLOW, PARTNER)
    with running_valkey(tmp_path / "b", *follow) as second, valkey.Valkey(unix_socket_path=str(second)) as promoted:
        listen = ("--port", port, "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0")
        with running_valkey(tmp_path / "a", *listen) as first, valkey_world(first) as world:
            world.services.create([flow(world, pair, 1, world.now() - 1, A, b"load")])
            [claim] = world.services.claim(1, SPAN)
            # WAIT alone is content with a replica that has asked for the data and not loaded it yet.
            assert eventually(lambda: promoted.info("replication")["master_link_status"] == "up")
            assert world.raw.incr("fence") == 1
            assert world.raw.wait(1, 20_000) == 1
        promoted.replicaof("NO", "ONE")
        with StoreClient(unix_url(str(second))) as client:
            assert loaded_version(client) == VERSION
            services = ValkeyServices(client, DEPLOYMENT, b"test\r\n")
            assert services.counts() == {b"load": 1}
            assert services.claim(1, SPAN) == []  # the lease holds there, too
            [old, _] = services.read(pair)
            assert services.expire([Ending(pair, claim.token, old)])[0].outcome is Expiry.ended
            assert promoted.keys() == [b"fence"]
