"""The section [nat]: defaults, every refusal with where it is and what to do, and what `snf check` says."""

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nat_play import Play, ends
from statelessnf.config import parse
from statelessnf.errors import ConfigError
from statelessnf.function import table_arrays
from statelessnf.functions.nat import Nat
from statelessnf.functions.nat_words import explain, warnings
from statelessnf.packet import OUTBOUND, UDP

pytestmark = pytest.mark.beside

POOL = [{"addresses": ["203.0.113.0/28"]}]
WEB = {"protocol": "tcp", "external": "203.0.113.1", "ports": "80", "inner": "10.0.0.80"}


def settings(**section: Any) -> Any:
    document = {"name": "home", "function": "nat", "inside": ["10.0.0.0/8", "fd00::/8"]}
    return parse({**document, "nat": {"pool": POOL, **section}}, Path("home.toml")).settings


def refusal(**section: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        settings(**section)
    return str(caught.value)


def test_defaults() -> None:
    chosen = settings()
    assert chosen.subscribers == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert (chosen.ports, chosen.filtering, chosen.pool[0].ports) == ("preserve", "address-and-port", (1, 65535))
    assert chosen.timeouts.udp_s == 300
    assert warnings(chosen) == []


@pytest.mark.parametrize(
    ("addresses", "size"),
    [
        ("203.0.113.1", 1),
        (["203.0.113.1", "203.0.113.4-203.0.113.6"], 4),
        ("203.0.113.0/24", 256),
        ("2001:db8::/112", 65536),
    ],
)
def test_addresses_of_a_pool(addresses: Any, size: int) -> None:
    chosen = settings(pool=[{"addresses": addresses}])
    assert chosen.external_addresses(4) + chosen.external_addresses(6) == size
    assert sum(network.num_addresses for network in Nat.owned(chosen)) == size
    assert sum(table_arrays(Nat, chosen)["pool"]["count"]) == size


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"pool": []}, ("home.toml: nat", "pool is empty")),
        ({"pool": [{"addresses": []}]}, ("nat.pool[0].addresses",)),
        ({"pool": [{}]}, ("nat.pool[0].addresses", "required")),
        ({"pool": [{"addresses": "203.0.113.300"}]}, ("nat.pool[0].addresses", "no address, network or range")),
        ({"pool": [{"addresses": "203.0.113.1/28"}]}, ("bits set behind its prefix", "203.0.113.0/28")),
        ({"pool": [{"addresses": "203.0.113.9-203.0.113.1"}]}, ("wrong way round", "203.0.113.1-203.0.113.9")),
        ({"pool": [{"addresses": "203.0.113.9-2001:db8::1"}]}, ("begins with one IP version and ends with the other",)),
        ({"pool": [{"addresses": "203.0.113.9-x"}]}, ("'203.0.113.9-x' is no address",)),
        ({"pool": [{"addresses": "224.0.0.1"}]}, ("multicast",)),
        ({"pool": [{"addresses": "0.0.0.0/0"}]}, ("unspecified",)),
        ({"pool": [{"addresses": "::ffff:203.0.113.1"}]}, ("IPv4-mapped",)),
        ({"pool": [{"addresses": "2001:db8::/48"}]}, ("more than a /64",)),
        ({"pool": [{"addresses": "192.0.0.0/11"}]}, ("1,048,576",)),
        ({"pool": [*POOL, {"addresses": "203.0.113.15-203.0.113.20"}]}, ("pool[1].addresses", "overlap", "pool[0]")),
        ({"pool": [{"addresses": "10.200.0.0/30"}]}, ("pool[0].addresses", "is inside (10.0.0.0/8)")),
        ({"pool": [{"addresses": "fd00::1"}]}, ("is inside (fd00::/8)",)),
        ({"pool": [{"addresses": "203.0.113.1", "ports": "0-100"}]}, ("nat.pool[0]", "begin with 1")),
        ({"pool": [{"addresses": "203.0.113.1", "ports": "9-5"}]}, ("nat.pool[0].ports", "wrong way round")),
        ({"pool": [{"addresses": "203.0.113.1", "port": "9"}]}, ("nat.pool[0].port", "did you mean 'ports'?")),
        ({"subscribers": []}, ("subscribers is empty",)),
        ({"subscribers": ["192.168.0.0/24"]}, ("192.168.0.0/24 is not inside", "10.0.0.0/8")),
        ({"subscribers": ["10.0.0.0/16", "10.0.1.0/24"]}, ("overlap",)),
        ({"subscribers": ["fd00::/64"]}, ("no IP version in common",)),
        ({"forwards": [{**WEB, "external": "203.0.113.77"}]}, ("forwards[0]", "not in the pool")),
        ({"forwards": [{**WEB, "inner": "192.0.2.1"}]}, ("forwards[0]", "no subscriber")),
        ({"forwards": [{**WEB, "inner": "fd00::1"}]}, ("nat.forwards[0]", "not of one IP version")),
        ({"forwards": [{**WEB, "external": "2001"}]}, ("nat.forwards[0].external", "'2001' is no address")),
        ({"forwards": [{**WEB, "protocol": "icmp"}]}, ("nat.forwards[0].protocol", "'tcp' or 'udp'")),
        ({"forwards": [{**WEB, "ports": "0"}]}, ("begin with 1",)),
        ({"forwards": [{**WEB, "ports": "1-9", "inner_port": 65530}]}, ("beyond 65535", "tcp 203.0.113.1 port 1-9")),
        ({"forwards": [WEB, WEB]}, ("forwards[1]", "forwarded by forwards[0] already")),
        ({"forwards": [WEB, {**WEB, "ports": "1-80", "inner": "10.0.0.9"}]}, ("forwards[1]", "already")),
        ({"ports_per_subscriber": 1000}, ("room for 1,040 subscribers", "of 16,777,216 (IPv4)")),
        ({"pool": [{"addresses": "2001:db8::1"}], "ports_per_subscriber": 9}, ("/96 or longer",)),
        ({"filtering": "adress"}, ("nat.filtering", "did you mean 'address'?")),
        ({"outside_mtu": 100}, ("nat.outside_mtu", "576")),
        ({"timeouts": {"udp": 3}}, ("nat.timeouts.udp", "did you mean 'udp_s'?")),
        ({"log": 1}, ("nat.log", "true or false")),
    ],
)
def test_refusals(section: dict[str, Any], words: tuple[str, ...]) -> None:
    line = refusal(**section)
    assert line.startswith("home.toml: nat")
    for word in words:
        assert word in line, line


def test_one_port_may_be_forwarded_by_each_protocol_and_to_one_port() -> None:
    both = [WEB, {**WEB, "protocol": "udp"}, {**WEB, "ports": "8080", "inner_port": 80}]
    assert len(settings(forwards=both).forwards) == 3


def test_blocks_fit_exactly() -> None:
    chosen = {"pool": [{"addresses": "203.0.113.0/30", "ports": "1024-2023"}], "ports_per_subscriber": 100}
    play = Play(settings(**chosen, subscribers=["10.0.0.0/27", "10.1.0.0/29"]))
    last = play.send(OUTBOUND, UDP, ("10.1.0.7", 5000), ("198.51.100.1", 53))
    outer, port = ends(last.sent)[0]
    assert (outer, (port - 1024) // 100) == ("203.0.113.3", 9)
    assert "room for 40" in refusal(**chosen, subscribers=["10.0.0.0/27", "10.1.0.0/29", "10.2.0.0/32"])


def test_tables_of_a_published_section_are_those_of_the_file() -> None:
    """Every instance makes them for itself; candidates must not differ between two of them."""
    section = {"forwards": [WEB], "ports": "random"}
    one, other = table_arrays(Nat, settings(**section)), table_arrays(Nat, settings(**section))
    assert all(np.array_equal(one[name], other[name]) for name in Nat.table_types)


def test_words() -> None:
    text = "\n".join(explain(settings(forwards=[WEB], outside_mtu=1400, filtering="address", ports="random")))
    for words in ("203.0.113.0-203.0.113.15, ports 1-65535", "addresses it has spoken to", "tcp 203.0.113.1 port 80"):
        assert words in text
    assert "MSS" in text
    assert "hash" in text
    assert "64 ports" in "\n".join(explain(settings(subscribers=["10.0.0.0/24"], ports_per_subscriber=64)))


def test_warnings() -> None:
    short = settings(timeouts={"udp_s": 30, "tcp_established_s": 600})
    assert [line.split(":")[0] for line in warnings(short)] == [
        "nat.timeouts.tcp_established_s = 600", "nat.timeouts.udp_s = 30",
    ]  # fmt: skip
    both = settings(pool=[{"addresses": ["203.0.113.1", "2001:db8::1"]}], subscribers=["10.0.0.0/8"])
    assert warnings(both) == ["nat.pool has IPv6 addresses, but no subscriber is IPv6"]


def test_records_are_not_used_for_as_long_as_they_live() -> None:
    document: dict[str, Any] = {"name": "n", "function": "nat", "nat": {"pool": POOL}}
    with pytest.raises(ConfigError, match=r"the shortest time-out is 60000 ms") as refused:
        parse({**document, "store": {"stale_ms": 59_000}}, Path("n.toml"))
    assert "n.toml: store.stale_ms" in str(refused.value)
    assert parse({**document, "store": {"stale_ms": 58_000}}, Path("n.toml")).store.stale_ms == 58_000
