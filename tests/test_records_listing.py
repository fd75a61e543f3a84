"""Pages of records: no more than was asked for, each that stands listed, whatever else the store holds and becomes."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import valkey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import running_valkey
from statelessnf.config import Deployment, parse
from statelessnf.errors import Refused, StoreUnavailable
from statelessnf.functions.firewall import Firewall
from statelessnf.pipe_options import deployment_number
from statelessnf.records import listing
from statelessnf.records.ids import id_of
from statelessnf.records.records import Filter
from statelessnf.records.stored import StoredRecords
from statelessnf.store.flow_keys import ShardMap
from statelessnf.store.url import parse_url, unix_url

pytestmark = pytest.mark.beside

NUMBER = deployment_number("bed")
FIELDS = b"\1" + bytes(Firewall.record.itemsize - 1)
MANY = 1500


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with running_valkey(tmp_path_factory.mktemp("listing")) as found:
        yield found


@pytest.fixture
def raw(server: Path) -> Iterator[Any]:
    with valkey.Valkey(unix_socket_path=str(server)) as client:
        client.flushall()
        yield client


@pytest.fixture
def records(server: Path) -> Iterator[StoredRecords]:
    deployment: Deployment = parse({"name": "bed", "function": "firewall"}, Path("bed.toml"))
    opened = StoredRecords(deployment, unix_url(str(server)))
    yield opened
    opened.close()


def key(number: int, deployment: int = NUMBER) -> bytes:
    ends = struct.pack("!II", 0x0A000000 + number, 0xC6336407) + struct.pack("!HH", 1000 + number, 443)
    return ShardMap(5).tagged(b"{00}" + deployment.to_bytes(4, "little") + b"f\x04\x06\0" + ends)


def fill(raw: Any, numbers: range, deployment: int = NUMBER) -> set[str]:
    """Records with these numbers; their ids."""
    value = struct.pack("<BQQ", 1, 7, int(time.time() * 1000) + 1_000_000) + FIELDS
    keys = [key(number, deployment) for number in numbers]
    raw.mset(dict.fromkeys(keys, value))
    return {id_of(one) for one in keys}


def walked(records: StoredRecords, limit: int, between: Any = lambda: None, wanted: Filter | None = None) -> list[str]:
    """Ids of all pages; `between` happens before each."""
    found: list[str] = []
    cursor = None
    while cursor != "":
        between()
        page = records.list(wanted or Filter(), cursor or "", limit)
        assert len(page.records) <= limit
        found += [record.id for record in page.records]
        cursor = page.cursor
    return found


@pytest.mark.parametrize("limit", [37, 1000])
def test_each_record_once_where_nothing_changes(raw: Any, records: StoredRecords, limit: int) -> None:
    ids = fill(raw, range(MANY))
    fill(raw, range(MANY), NUMBER + 1)
    found = walked(records, limit)
    assert (len(found), set(found)) == (MANY, ids)


@pytest.mark.parametrize("limit", [3, 50])
def test_what_stands_is_listed_while_the_table_grows_and_shrinks(
    raw: Any, records: StoredRecords, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches are small, so that pages end within many of them."""
    monkeypatch.setattr(listing, "BATCH", 20)
    chance = random.Random(limit)
    for ground in (0, MANY):  # it grows; it shrinks
        raw.flushall()
        ids = fill(raw, range(60))
        if ground:
            fill(raw, range(100, 100 + ground))

        def between(ground: int = ground) -> None:
            if ground:
                raw.delete(*(key(chance.randrange(100, 100 + ground)) for _ in range(40)))
            else:
                fill(raw, range(100, 100 + chance.randrange(1, 400)))

        assert ids <= set(walked(records, limit, between))


def test_a_page_looks_at_a_bounded_part_of_the_store(
    raw: Any, records: StoredRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "BATCH", 10)
    monkeypatch.setattr(listing, "STEPS", 3)
    fill(raw, range(MANY))
    raw.config_resetstat()
    page = records.list(Filter(port=1000 + MANY - 1), "", 10)
    assert page.cursor
    assert raw.info("commandstats")["cmdstat_scan"]["calls"] == 3
    assert walked(records, 10, wanted=Filter(port=1000 + MANY - 1)) == [id_of(key(MANY - 1))]


def test_only_what_the_keys_say_is_wanted_is_read(raw: Any, records: StoredRecords) -> None:
    fill(raw, range(MANY))
    raw.config_resetstat()
    assert walked(records, 100, wanted=Filter(network=ip_network("192.0.2.0/24"))) == []
    assert "cmdstat_mget" not in raw.info("commandstats")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.from_regex(r"[0-9]{1,22}(\.[0-9]{1,22}(\.[A-Za-z0-9_-]{0,70})?)?"))
def test_any_cursor_is_answered_or_refused(records: StoredRecords, cursor: str) -> None:
    """And nothing else is raised. Any number is a cursor of SCAN."""
    with suppress(Refused):
        assert len(records.list(Filter(), cursor, 3).records) <= 3


@pytest.mark.parametrize("kind", ["memory", "embedded"])
def test_the_baseline_has_no_records_in_a_store(kind: str) -> None:
    with pytest.raises(Refused, match="to themselves"):
        StoredRecords(parse({"name": "bed", "function": "firewall"}, Path("bed.toml")), parse_url(kind))


def test_a_store_that_cannot_be_reached(tmp_path: Path) -> None:
    deployment = parse({"name": "bed", "function": "firewall"}, Path("bed.toml"))
    nowhere = StoredRecords(deployment, unix_url(str(tmp_path / "s")))
    with pytest.raises(StoreUnavailable):
        nowhere.list(Filter())


def test_several_threads(raw: Any, records: StoredRecords) -> None:
    """One connection serves them all, one request after another."""
    [name] = fill(raw, range(1))

    def change(number: int) -> int:
        records.list(Filter())
        return int(records.modify(name, {"rule": number}).record["rule"])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(change, range(100))) == list(range(100))
