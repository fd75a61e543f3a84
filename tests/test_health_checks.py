"""Health checks as a duty of instances that share a store: each check by one of them at a time, findings for all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import valkey
from hypothesis import example, given
from hypothesis import strategies as st

from conftest import eventually, running_valkey
from duty_play import Open, Told, shared_store, url_of
from service_worlds import DEPLOYMENT
from statelessnf.duties import checks, findings, health_checks
from statelessnf.duties.backing import CHECKS, backing
from statelessnf.duties.checks import checks_of
from statelessnf.duties.duty import running
from statelessnf.duties.findings import Finding, check_key
from statelessnf.duties.health_checks import HealthChecks
from statelessnf.functions.balancer_tables import backends
from statelessnf.functions.health_check import HealthCheck
from statelessnf.health import Health
from statelessnf.owned import Address
from statelessnf.probes import Probe
from statelessnf.store.service_requests import Timer, new_token
from statelessnf.store.shards import shard_of
from statelessnf.store.values import Change, Values

ONE = ["10.9.0.1"]
MANY = [f"10.9.0.{number}" for number in range(1, 21)]


def section(servers: list[str], **check: Any) -> dict[str, Any]:
    known = {"kind": "tcp", "interval_ms": 40, "timeout_ms": 30, "rise": 2, "fall": 2, **check}
    pool = [{"address": address} for address in servers]
    return {"services": [{"name": "web", "address": "192.0.2.1", "ports": 80, "check": known, "servers": pool}]}


class Servers:
    """What probes find: all are up but those in `dead`. Counts the probes of each, and how many ran at once."""

    def __init__(self, takes: float = 0.0) -> None:
        self.dead: set[str] = set()
        self.takes = takes
        self.asked: Counter[str] = Counter()
        self.most_at_once = 0
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()

    async def probe(self, check: HealthCheck, address: Address, port: int) -> Probe:
        name = str(address)
        with self._lock:
            self.asked[name] += 1
            self._running[name] += 1
            self.most_at_once = max(self.most_at_once, self._running[name])
        try:
            await asyncio.sleep(self.takes)
        finally:
            with self._lock:
                self._running[name] -= 1
        return Probe(name not in self.dead, f"port {port}")


async def never(check: HealthCheck, address: Address, port: int) -> Probe:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture(params=["memory", "valkey"])
def store(request: pytest.FixtureRequest) -> Iterator[Open]:
    """A store for several instances, empty."""
    socket: Path | None = None
    if request.param == "valkey":
        socket = request.getfixturevalue("services_server")
        with valkey.Valkey(unix_socket_path=str(socket)) as raw:
            raw.flushall()
    with shared_store(socket) as open_store:
        yield open_store


def duty_of(host: Told, store: Open, run: Any) -> HealthChecks:
    return HealthChecks(host, DEPLOYMENT, store(CHECKS), run)


def looked(duty: HealthChecks, condition: Callable[[], bool]) -> bool:
    """Whether it looks until the condition holds."""

    def look_again() -> bool:
        duty.look()
        return condition()

    return eventually(look_again)


def identities(host: Told, *addresses: str) -> frozenset[int]:
    known = backends(host.settings)  # type: ignore[arg-type]  # of the load balancer, as the section is
    return frozenset(each.identity for each in known if str(each.server.address) in addresses)


def test_a_server_that_dies_and_comes_back_is_told_once_each(store: Open) -> None:
    host, servers = Told("load_balancer", section(MANY)), Servers()
    servers.dead = {"10.9.0.3"}
    with running([duty_of(host, store, servers.probe)], host.say):
        assert eventually(lambda: len(host.found) == 1)
        assert eventually(lambda: min(servers.asked.values()) >= 4)
        assert host.found == [{"down": identities(host, "10.9.0.3")}]
        servers.dead = {"10.9.0.7"}
        assert eventually(lambda: len(host.found) >= 2 and host.found[-1] == {"down": identities(host, "10.9.0.7")})
    assert host.said[0] == "server 10.9.0.3 of service web is down: port 80"
    assert sorted(host.said[1:]) == [
        "server 10.9.0.3 of service web is up: port 80",
        "server 10.9.0.7 of service web is down: port 80",
    ]


def test_each_check_is_run_by_one_of_three_instances_at_a_time(store: Open) -> None:
    hosts, servers = [Told("load_balancer", section(MANY)) for _ in range(3)], Servers(takes=0.02)
    servers.dead = set(MANY[:5])
    with ExitStack() as stack:
        began = time.monotonic()
        for host in hosts:
            stack.enter_context(running([duty_of(host, store, servers.probe)], host.say))
        assert eventually(lambda: len(servers.asked) == 20 and min(servers.asked.values()) >= 8, 30)
        most = (time.monotonic() - began) / 0.04 + 1
        down = [{"down": identities(hosts[0], *MANY[:5])}]
        assert eventually(lambda: all(host.found[-1:] == down for host in hosts))
    assert servers.most_at_once == 1
    assert max(servers.asked.values()) <= most


def test_a_check_whose_instance_dies_is_taken_over_after_its_lease(
    store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "LEASE", 600)
    monkeypatch.setattr(checks, "MARGIN", 100)
    host, servers = Told("load_balancer", section(ONE)), Servers()
    victim, heir = duty_of(host, store, never), duty_of(host, store, servers.probe)
    began = time.monotonic()
    assert looked(victim, lambda: victim._under_way != {})
    assert looked(heir, lambda: servers.asked.total() >= 1)
    assert time.monotonic() - began >= 0.6
    heir.close()
    victim.close()


def test_the_lease_of_a_slow_check_is_as_long_as_its_time_out(store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LEASE", 100)
    monkeypatch.setattr(checks, "MARGIN", 100)
    host, servers = Told("load_balancer", section(ONE, interval_ms=2000, timeout_ms=600)), Servers()
    victim, heir = duty_of(host, store, never), duty_of(host, store, servers.probe)
    began = time.monotonic()
    assert looked(victim, lambda: victim._under_way != {})
    assert looked(heir, lambda: servers.asked.total() >= 1)
    assert time.monotonic() - began >= 0.7
    heir.close()
    victim.close()


def test_a_slow_check_comes_again_after_its_interval(store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LEASE", 100)
    monkeypatch.setattr(checks, "MARGIN", 60_000)
    host, servers = Told("load_balancer", section(ONE)), Servers()
    with running([duty_of(host, store, servers.probe)], host.say):
        assert eventually(lambda: servers.asked.total() >= 3)


def test_a_result_after_the_lease_counts_for_nothing(store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The late instance found the server dead; meanwhile another one has found it up, and checks on."""
    monkeypatch.setattr(checks, "LEASE", 50)
    monkeypatch.setattr(checks, "MARGIN", 10)
    host, good, bad = Told("load_balancer", section(ONE)), Servers(), Servers(takes=0.5)
    bad.dead = set(ONE)
    late, heir = duty_of(host, store, bad.probe), duty_of(host, store, good.probe)
    assert looked(late, lambda: late._under_way != {})
    assert looked(heir, lambda: good.asked.total() >= 3)
    assert late._prober is not None
    while not late._prober._results.qsize():
        heir.look()
    late.look()
    heir.look()
    assert host.found == []
    heir.close()
    late.close()


def test_an_instance_that_stops_gives_its_checks_back(store: Open) -> None:
    host, servers = Told("load_balancer", section(ONE)), Servers()
    stopping, other = duty_of(host, store, never), duty_of(host, store, servers.probe)
    assert looked(stopping, lambda: stopping._under_way != {})
    other.look()
    assert servers.asked == Counter()
    before = time.monotonic()
    stopping.close()
    assert looked(other, lambda: servers.asked.total() >= 1)
    assert time.monotonic() - before < checks.LEASE / 2000
    other.close()


def test_findings_outlive_the_instances(store: Open) -> None:
    first, second, servers = Told("load_balancer", section(ONE)), Told("load_balancer", section(ONE)), Servers()
    servers.dead = set(ONE)
    with running([duty_of(first, store, servers.probe)], first.say):
        assert eventually(lambda: len(first.found) == 1)
    heir = duty_of(second, store, never)
    heir.look()
    assert second.found == first.found
    heir.close()


def test_a_check_that_is_taken_out_ends_and_a_new_one_begins(store: Open) -> None:
    host, servers = Told("load_balancer", section(MANY[:2])), Servers()
    servers.dead = {MANY[0]}
    duty = duty_of(host, store, servers.probe)
    assert looked(duty, lambda: len(host.found) == 1)
    host.settings = Told("load_balancer", section(MANY[1:3])).settings
    assert looked(duty, lambda: servers.asked[MANY[2]] >= 2)
    assert host.found[-1] == {"down": frozenset()}
    asked = servers.asked[MANY[0]]
    assert looked(duty, lambda: servers.asked[MANY[1]] >= 6)
    assert servers.asked[MANY[0]] <= asked + 1
    duty.close()
    gone = check_key(DEPLOYMENT, next(iter(identities(Told("load_balancer", section(MANY)), MANY[0]))))
    assert store(CHECKS).services.arm([Timer(gone, 1 << 50, new_token())]) == [True]


def test_only_so_many_run_at_once(store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_checks, "MOST", 6)
    host = Told("load_balancer", section(MANY))
    duty = duty_of(host, store, never)
    for _ in range(4):
        duty.look()
    assert len(duty._under_way) == 6
    duty.close()


def test_without_a_store_the_last_findings_hold_and_it_is_said_once(tmp_path: Path) -> None:
    host, servers = Told("load_balancer", section(MANY)), Servers()
    servers.dead = {MANY[0]}
    with ExitStack() as stack:
        with running_valkey(tmp_path) as socket:
            duty = HealthChecks(host, DEPLOYMENT, backing(url_of(socket), DEPLOYMENT, CHECKS), servers.probe)
            stack.enter_context(running([duty], host.say))
            assert eventually(lambda: len(host.found) == 1)
        asked = servers.asked.total()
        assert eventually(lambda: "cannot be reached" in host.said[-1])
        with running_valkey(tmp_path):  # empty: another server of that name
            assert eventually(lambda: servers.asked.total() > asked + 40)
    assert host.found == [{"down": identities(host, MANY[0])}]
    said = [line for line in host.said if "cannot be reached" in line]
    assert len(said) == len(set(said))  # the reason may become another one


def test_stopping_does_not_wait_for_probes(store: Open) -> None:
    host = Told("load_balancer", section(ONE, interval_ms=3_600_000, timeout_ms=3_000_000))
    duty = duty_of(host, store, never)
    with running([duty], host.say):
        assert eventually(lambda: duty._under_way != {})
        before = time.monotonic()
    assert time.monotonic() - before < 60


def test_the_real_probe_is_run(store: Open) -> None:
    """With its own port, against a server on the loopback, which no pool may name."""
    host, passed = Told("load_balancer", section(ONE, timeout_ms=39)), threading.Event()

    async def run(check: HealthCheck, _address: Address, port: int) -> Probe:
        from statelessnf.probes import probe

        async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as server:
            result = await probe(check, ip_address("127.0.0.1"), server.sockets[0].getsockname()[1])
        passed.set()
        return result

    with running([duty_of(host, store, run)], host.say):
        assert passed.wait(60)
    assert host.found == []


@given(st.booleans(), st.integers(0, 100), st.integers(0, 1 << 50), st.text())
@example(True, 0, 0, "long" * 100)
def test_findings_read_as_they_were_written(up: bool, against: int, checked: int, text: str) -> None:
    read = findings.read(findings.written(Finding(Health(up, against, True), checked, text)))
    assert (read.health, read.checked) == (Health(up, against, True), checked)
    assert read.text.isprintable()
    assert len(read.text) <= findings.LONGEST


@given(st.binary())
def test_what_is_no_finding_counts_as_none(value: bytes) -> None:
    findings.read(value)
    assert findings.read(b"2 0 0 " + value) == Finding()
    assert findings.read(None) == Finding()


def test_keys_belong_to_a_shard_and_differ() -> None:
    known = checks_of(Told("load_balancer", section(MANY)).settings)
    keys = {check_key(DEPLOYMENT, each.backend.identity) for each in known}
    assert len(keys) == len(MANY)
    assert all(0 <= shard_of(key) < 256 for key in keys)


@pytest.fixture(params=["memory", "valkey"])
def values(request: pytest.FixtureRequest) -> Iterator[Values]:
    with shared_store(None if request.param == "memory" else request.getfixturevalue("valkey_server")) as open_store:
        yield open_store(CHECKS).values


def test_values_are_replaced_by_compare_and_set(values: Values) -> None:
    assert values.read([]) == []
    assert values.read([b"a", b"b"]) == [None, None]
    assert values.replace([Change(b"a", None, b"1", 60_000), Change(b"b", b"x", b"1", 60_000)]) == [True, False]
    assert values.replace([Change(b"a", None, b"2", 60_000), Change(b"a", b"1", b"2\r\n", 60_000)]) == [False, True]
    assert values.read([b"a", b"b"]) == [b"2\r\n", None]


def test_values_are_forgotten(values: Values) -> None:
    assert values.replace([Change(b"a", None, b"1", 20)]) == [True]
    assert eventually(lambda: values.read([b"a"]) == [None])
    assert values.replace([Change(b"a", b"1", b"2", 20)]) == [False]
