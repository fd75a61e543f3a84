"""Duties beside health checks and the mapping log: loads, expiry, pool use, which function has which, and the loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import valkey

from conftest import eventually
from duty_play import Open, Told, shared_store, url_of
from service_worlds import DEPLOYMENT, key
from statelessnf.duties import duties_of
from statelessnf.duties.backing import FLOWS, stored_pairs, timed_flows
from statelessnf.duties.duty import running
from statelessnf.duties.expiry import MOST, Expiry
from statelessnf.duties.health_checks import HealthChecks
from statelessnf.duties.loads import Loads
from statelessnf.duties.mapping_log import MappingLog
from statelessnf.duties.pool_use import PoolUse, pairs
from statelessnf.errors import StoreUnavailable
from statelessnf.functions.balancer_tables import backends
from statelessnf.functions.nat import Nat
from statelessnf.functions.nat_config import NatConfig
from statelessnf.pipe_options import deployment_number
from statelessnf.store.client import StoreClient
from statelessnf.store.service_requests import NewFlow, new_token
from statelessnf.store.valkey_services import ValkeyServices

FAR = 1 << 50
NAT = {"pool": [{"addresses": "203.0.113.1-203.0.113.2", "ports": "1001-1100"}]}


def balancer(policy: str) -> dict[str, Any]:
    pool = [{"address": "10.9.0.1"}, {"address": "10.9.0.2"}]
    other = {"name": "other", "address": "192.0.2.2", "ports": 80, "servers": pool}
    return {
        "services": [{"name": "web", "address": "192.0.2.1", "ports": 80, "policy": policy, "servers": pool}, other]
    }


@pytest.fixture(params=["memory", "valkey"])
def store(request: pytest.FixtureRequest) -> Iterator[Open]:
    with shared_store(None if request.param == "memory" else request.getfixturevalue("valkey_server")) as open_store:
        yield open_store


def flow(number: int, counter: bytes = b"") -> NewFlow:
    value = b"\x01" + number.to_bytes(8, "little") + FAR.to_bytes(8, "little")
    return NewFlow((key(number), key(number + 1000, number % 256)), value, FAR, new_token(), counter)


def test_loads_are_told_when_they_change(store: Open) -> None:
    host = Told("load_balancer", balancer("least_connections"))
    known = backends(host.settings)  # type: ignore[arg-type]  # of the load balancer, as the section is
    one, other, of_round_robin = (known[i].identity.to_bytes(8, "little") for i in (0, 1, 2))
    services, duty = store(FLOWS).services, Loads(host, store(FLOWS))
    duty.look()
    assert host.found == []
    services.create([flow(1, one), flow(2, one), flow(3, other), flow(4, of_round_robin), flow(5, b"strange")])
    for _ in range(2):
        duty.look()
    assert host.found == [{"loads": {known[0].identity: 2, known[1].identity: 1}}]
    services.create([flow(6, of_round_robin)])
    duty.look()
    assert len(host.found) == 1
    duty.close()


def test_loads_are_not_asked_for_without_the_policy() -> None:
    host = Told("load_balancer", balancer("round_robin"))
    with shared_store(None) as open_store:
        backing = open_store(FLOWS)._replace(services=None)  # type: ignore[arg-type]  # asking it would be an error
        Loads(host, backing).look()
    assert host.found == []


def test_expiry_goes_on_at_once_while_there_is_more() -> None:
    due, seen = [MOST, MOST, MOST - 1, 0], []

    def expire(on_expire: Any) -> int:
        on_expire((b"key",), b"record")
        return due.pop(0)

    duty = Expiry(expire, lambda keys, record: seen.append((keys, record)), lambda: None)
    periods = []
    for _ in range(4):
        duty.look()
        periods.append(duty.period)
    assert periods == [0.0, 0.0, 1.0, 1.0]
    assert seen == [((b"key",), b"record")] * 4


def test_pool_use_and_its_warnings() -> None:
    host, sessions = Told("nat", NAT), [0]
    duty = PoolUse(host, lambda: sessions[0], lambda: None)
    levels = []
    for sessions[0] in (0, 100, 159, 160, 170, 152, 189, 190, 300, 185, 181, 179, 151, 149, 160):
        before = len(host.said)
        duty.look()
        assert host.figures["pool_use"] == round(sessions[0] / 200, 4)
        levels += [sessions[0]] if len(host.said) > before else []
    assert levels == [160, 190, 179, 149, 160]
    assert "80 % in use" in host.said[0] or "80% in use" in host.said[0]
    assert "before flows find no port (no_port_left)" in host.said[1]
    assert "before flows" not in host.said[2]


def test_pairs_are_those_of_the_smaller_ip_version() -> None:
    def of(*pool: dict[str, str]) -> int:
        settings = Told("nat", {"pool": list(pool)}).settings
        assert isinstance(settings, NatConfig)
        return pairs(settings)

    assert of({"addresses": "203.0.113.1-203.0.113.2", "ports": "1001-1100"}) == 200
    assert of({"addresses": "203.0.113.1"}, {"addresses": "203.0.113.2", "ports": "1-10"}) == 65_545
    assert of({"addresses": "203.0.113.1"}, {"addresses": "2001:db8::1", "ports": "1-10"}) == 10


def test_sessions_are_counted(valkey_server: Path) -> None:
    with shared_store(valkey_server) as open_store, StoreClient(url_of(valkey_server)) as client:
        open_store(FLOWS).services.create([flow(number) for number in range(100)])
        assert timed_flows(client, DEPLOYMENT) == 100
        assert timed_flows(client, DEPLOYMENT + 1) == 0
        with valkey.Valkey(unix_socket_path=str(valkey_server)) as raw:
            for name in raw.scan_iter():
                if raw.type(name) != b"string":
                    raw.delete(name)
        assert stored_pairs(client) == 100


def test_each_function_has_its_duties(valkey_server: Path) -> None:
    kinds = {}
    for function, section in (("load_balancer", balancer("round_robin")), ("nat", NAT), ("firewall", {"rules": []})):
        for store in ("memory", "embedded", "unix:///elsewhere"):
            host = Told(function, section, store)
            work = duties_of(host, None if store == "memory" else url_of(valkey_server))
            kinds[function, store] = [type(duty) for duty in work.duties]
            for duty in work.duties:
                duty.close()
    assert kinds["load_balancer", "memory"] == [HealthChecks]
    assert kinds["load_balancer", "embedded"] == [HealthChecks, Loads, Expiry]
    assert kinds["nat", "memory"] == kinds["nat", "embedded"] == [MappingLog, PoolUse]
    assert kinds["nat", "unix:///elsewhere"] == [MappingLog]
    assert {tuple(kinds["firewall", store]) for store in ("memory", "embedded", "unix:///elsewhere")} == {()}


def test_the_baseline_counts_its_own_records() -> None:
    host = Told("nat", NAT)
    host.records = 100
    [log, use] = duties_of(host, None).duties
    use.look()
    assert host.figures["pool_use"] == 0.25
    log.close()


class Failing:
    """Fails as `errors` says: None is a look that succeeds."""

    def __init__(self, errors: list[str | None]) -> None:
        self.period, self.errors, self.closed = 0.001, errors, threading.Event()

    def look(self) -> None:
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise StoreUnavailable(error)

    def close(self) -> None:
        self.closed.set()


def test_an_error_is_said_once_and_again_after_a_success() -> None:
    said: list[str] = []
    duty = Failing(["gone", "gone", "gone", "worse", None, "worse"])
    with running([duty], said.append):
        assert eventually(lambda: not duty.errors)
        assert not duty.closed.is_set()
    assert said == ["gone", "worse", "worse"]
    assert duty.closed.is_set()


def test_it_stops_at_once() -> None:
    duty = Failing([])
    duty.period = 3600
    before = time.monotonic()
    with running([duty, duty], print):
        pass
    assert time.monotonic() - before < duty.period / 100


class Timed(Nat):
    """A NAT whose sessions have timers."""

    name = "nat"

    @staticmethod
    def timed(config: Any) -> bool:
        return True


def session(number: int, deadline: int) -> NewFlow:
    """Of 10.0.0.1 port `number` through 203.0.113.1, as the engine would store it."""
    record = np.zeros(1, Nat.record)
    record["state"], record["inner_port"], record["outer_port"] = 1, number, number
    record["inner_low"], record["outer_low"] = 0xFFFF0A000001, 0xFFFFCB007101
    inner, outer = (bytes.fromhex(text) for text in ("0a000001c6336407", "cb007101c6336407"))
    ports = number.to_bytes(2) + (443).to_bytes(2)
    keys = [key(number, number % 256)[:8] + b"f\x04\x11\x00" + ends + ports for ends in (inner, outer)]
    value = b"\x01" + bytes(8) + deadline.to_bytes(8, "little") + record.tobytes() + bytes(19)
    return NewFlow((keys[0], keys[1]), value, FAR, new_token())


def test_sessions_that_end_are_told_once_by_all_instances_together(valkey_server: Path) -> None:
    pool = [{"addresses": "203.0.113.1-203.0.113.2", "ports": "1001-2000"}]
    hosts = [Told("nat", {"pool": pool, "log": True}, "embedded") for _ in range(3)]
    for host in hosts:
        host.deployment._function_class = Timed
    number = deployment_number("told")
    with StoreClient(url_of(valkey_server)) as client:
        services = ValkeyServices(client, number, FLOWS)
        due = services.now() + 1
        services.create([session(port, due) for port in range(1, 501)] + [session(600, FAR)])
        works = [duties_of(host, url_of(valkey_server)) for host in hosts]
        assert [type(duty) for duty in works[0].duties] == [MappingLog, PoolUse, Expiry]
        with ExitStack() as stack:
            for host, work in zip(hosts, works, strict=True):
                stack.enter_context(running(work.duties, host.say))
            assert eventually(lambda: timed_flows(client, number) == 1)
            assert eventually(lambda: all(host.figures.get("pool_use") == 1 / 2000 for host in hosts))
        assert client.call("DBSIZE") == 2 + 2
    told = [document["id"] for host in hosts for document in host.documents]
    expected = [f"udp 10.0.0.1:{port} 203.0.113.1:{port} 198.51.100.7:443" for port in range(1, 501)]
    assert sorted(told) == sorted(expected)
    assert all(host.said == [] for host in hosts)
