"""The section [load_balancer]: what cannot work is refused by key with a remedy; what can is explained in words."""

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from balancer_play import VIRTUAL, config
from statelessnf.config import parse
from statelessnf.errors import ConfigError
from statelessnf.functions.balancer_config import BalancerConfig
from statelessnf.functions.balancer_tables import (
    ABSENT,
    DOWN,
    DRAINING,
    UP,
    backends,
    balancer_rules,
    balancer_tables,
)
from statelessnf.functions.load_balancer_words import explain, warnings
from statelessnf.networks import mapped

pytestmark = pytest.mark.beside

WEB: dict[str, Any] = {"name": "web", "address": VIRTUAL, "ports": [80], "servers": [{"address": "10.0.0.1"}]}
TWICE = [{"address": "10.0.0.1"}, {"address": "10.0.0.2"}, {"address": "10.0.0.1"}]
ONCE_ANY = [{"address": "10.0.0.1", "port": 80}, {"address": "10.0.0.1"}]
MAPPED = "::ffff:192.0.2.1"


def configured(section: Any) -> Any:
    return parse({"name": "shop", "function": "load_balancer", "load_balancer": section}, Path("lb.toml")).settings


def refused(section: Any) -> str:
    with pytest.raises(ConfigError) as error:
        configured(section)
    return error.value.line()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"servers": []}, "services[0]: servers: the pool is empty; add at least one server"),
        ({"servers": TWICE}, "10.0.0.1 is listed twice; list it once"),
        ({"servers": ONCE_ANY}, "10.0.0.1:80 is listed twice"),
        (
            {"servers": [{"address": "10.0.0.1", "weight": 0}]},
            "servers[0].weight: weight 0 gives a server nothing; set d",
        ),
        ({"servers": [{"address": "10.0.0.1", "weight": -1}]}, "greater than or equal to 1"),
        ({"servers": [{"address": "10.0.0.1", "weight": 2}]}, "'round_robin' knows no weights; use 'weighted'"),
        ({"servers": [{"address": "10.0.0.1", "prot": 1}]}, "did you mean 'port'?"),
        ({"servers": [{"address": "10.0.0.1", "port": 0}]}, "servers[0].port"),
        ({"servers": [{"address": "ten"}]}, "'ten' is no address, network or range; write one such as"),
        ({"servers": [{"address": "10.0.0.0/24"}]}, "'10.0.0.0/24' is 256 addresses; write a single one"),
        ({"servers": [{"address": 10}]}, "10 is no address; write one in quotes"),
        (
            {"servers": [{"address": "fe80::1%eth0"}], "address": "2001:db8::1"},
            "names an interface; write the address alone",
        ),
        ({"servers": [{"address": "fd00::1"}]}, "not of one IP version"),
        ({"servers": [{"address": VIRTUAL}]}, "is a server of 'web' and the virtual address of 'web'"),
        ({"servers": [{"address": "127.0.0.1"}]}, "has loopback addresses (127.0.0.0/8), which no host can own"),
        ({"address": "224.0.0.1"}, "services[0].address: '224.0.0.1' has multicast addresses"),
        ({"address": "0.0.0.0"}, "unspecified"),
        ({"address": "255.255.255.255"}, "reserved"),
        ({"address": MAPPED, "servers": [{"address": "fd00::1"}]}, "IPv4-mapped"),
        ({"policy": "round-robin"}, "services[0].policy: 'round-robin' is none of"),
        ({"policy": "least_connection"}, "did you mean 'least_connections'?"),
        ({"policy": "least_connections", "affinity": "source"}, "cannot keep a client on one server; use"),
        ({"policy": "consistent_hash", "table_size": 4096}, "table_size 4096 is no prime"),
        ({"policy": "consistent_hash", "table_size": 97}, "too small for 1 servers; use a prime from 100 on"),
        (
            {"mode": "direct", "servers": [{"address": "10.0.0.1", "port": 1}]},
            "mode 'direct' leaves packets as they are",
        ),
        ({"ports": []}, "ports: there is none"),
        ({"ports": [0]}, "port 0"),
        ({"ports": ["90-80"]}, "wrong way round"),
        ({"protocol": "icmp"}, "'tcp' or 'udp'"),
        ({"name": "Web"}, "services[0].name"),
        ({"check": {"kind": "http", "path": "x"}}, "services[0].check: path 'x' is no path; write '/x'"),
        ({"check": {"kind": "tcp", "timeout_ms": 5000}}, "services[0].check: timeout_ms = 5000 is not below"),
        ({"check": {"kind": "tcp"}, "ports": ["1-9"]}, "check: it needs a port, as the service has several"),
    ],
)
def test_services_that_cannot_work(change: dict[str, Any], says: str) -> None:
    line = refused({"services": [{**WEB, **change}]})
    assert line.startswith("lb.toml: load_balancer")
    assert says in line


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"address": "192.0.2.11"}, "2 are named 'web'; give each its own name"),
        ({"name": "more"}, "'web' and 'more' both have 192.0.2.10 tcp port 80; give it to one"),
        ({"name": "more", "ports": ["70-85"]}, "tcp port 80"),
        (
            {"name": "more", "address": "10.0.0.1", "servers": [{"address": "10.0.0.9"}]},
            "a server of 'web' and the virtual",
        ),
    ],
)
def test_services_that_cannot_stand_beside_each_other(other: dict[str, Any], says: str) -> None:
    assert says in refused({"services": [WEB, {**WEB, **other}]})


def test_services_that_can() -> None:
    others = [{**WEB, "name": "udp", "protocol": "udp"}, {**WEB, "name": "next", "ports": [81]}]
    assert len(configured({"services": [WEB, *others]}).services) == 3


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({}, "load_balancer.services: this key is required"),
        ({"services": []}, "there is none; add a [[load_balancer.services]]"),
        ({"services": [WEB], "other_traffic": "allow"}, "'forward' or 'drop'"),
        ({"services": [WEB], "timeouts": {"tcp_open": 3}}, "did you mean 'tcp_open_s'?"),
    ],
)
def test_the_section(section: dict[str, Any], says: str) -> None:
    assert says in refused(section)


def test_ids_depend_on_the_backend_alone() -> None:
    few, many = config("10.0.0.1", "10.0.0.2"), config("10.0.0.9", "10.0.0.2", "10.0.0.1", name="web")
    ids = {str(backend.server): backend.identity for backend in backends(few)}
    assert {str(backend.server): backend.identity for backend in backends(many)}.items() > ids.items()
    other = config("10.0.0.1", {"address": "10.0.0.2", "port": 80}, name="other")
    assert not {backend.identity for backend in backends(other)} & set(ids.values())


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_every_server_is_found_in_the_table(count: int) -> None:
    settings = config(*[f"10.0.{i >> 8}.{i & 255}" for i in range(1, count + 1)])
    servers = balancer_tables(settings)["servers"]
    assert len(servers) >= 2 * count
    assert len(servers) & (len(servers) - 1) == 0
    assert (servers["state"] != ABSENT).sum() == count
    for backend in backends(settings):
        place = backend.identity % len(servers)
        while servers["id"][place] != backend.identity:
            assert servers["state"][place] != ABSENT
            place = (place + 1) % len(servers)


def test_findings_and_loads_change_the_tables_and_not_their_shapes() -> None:
    settings = config("10.0.0.1", {"address": "10.0.0.2", "drain": True}, "10.0.0.3")
    first, _, third = [backend.identity for backend in backends(settings)]
    plain, lost = balancer_tables(settings), balancer_tables(settings, {third}, {first: 7, 12345: 9, third: -1})
    assert {name: (array.shape, array.dtype) for name, array in plain.items() if name != "slots"} == {
        name: (array.shape, array.dtype) for name, array in lost.items() if name != "slots"
    }
    states = dict(zip(lost["servers"]["low"].tolist(), lost["servers"]["state"].tolist(), strict=True))
    for address, state in (("10.0.0.1", UP), ("10.0.0.2", DRAINING), ("10.0.0.3", DOWN)):
        assert states[mapped(ip_network(address))[0]] == state
    assert lost["loads"]["connections"].sum() == 7
    assert (len(plain["slots"]), len(lost["slots"])) == (2, 1)


def test_slots_of_several_services_do_not_mix() -> None:
    other = {**WEB, "name": "more", "ports": [8080], "policy": "consistent_hash", "table_size": 1009}
    tables = balancer_tables(config("10.0.0.1", "10.0.0.2", others=[other]))
    assert tables["pools"]["first"].tolist() == [0, 2]
    assert tables["pools"]["count"].tolist() == [2, 1009]
    assert len(set(tables["slots"]["server"][2:].tolist())) == 1
    assert len(np.unique(tables["slots"]["server"])) == 3


def test_rules_name_services_in_order() -> None:
    settings = config("10.0.0.1", others=[{**WEB, "name": "dns", "protocol": "udp", "ports": [53]}])
    rows = balancer_rules(settings)
    assert sorted(set(rows["rule"].tolist())) == [0, 1, 2, 3]
    assert rows[rows["rule"] == 2]["protocol"].tolist() == [17]
    assert rows[rows["rule"] == 0]["destination_prefix"].tolist() == [96]


def test_words() -> None:
    text = "\n".join(explain(config("10.0.0.1", {"address": "10.0.0.2", "drain": True}, refusal="reject")))
    assert (
        "Service web: 192.0.2.10 tcp port 80, 443 in mode nat, round_robin, over 10.0.0.1, 10.0.0.2 draining." in text
    )
    assert "answered with RST" in text
    checked = config("10.0.0.1", check={"kind": "http", "port": 80, "path": "/up"}, other_traffic="drop")
    text = "\n".join(explain(checked))
    assert "Checked every 2000 ms by GET /up, down after 3 failures, up after 2; " in text
    assert "Other traffic is dropped." in text


def test_warnings() -> None:
    assert warnings(config("10.0.0.1")) == []
    assert "all servers drain" in warnings(config({"address": "10.0.0.1", "drain": True}))[0]
    assert "without a check" in warnings(config("10.0.0.1", on_server_down="move"))[0]


def test_the_section_is_frozen_and_says_what_it_was_given() -> None:
    settings = config("10.0.0.1")
    assert BalancerConfig.model_validate(settings.model_dump()) == settings
    dumped = settings.model_dump(mode="json")
    assert dumped["services"][0]["servers"][0]["address"] == "10.0.0.1"
