"""The section [network]: what it may say, what is refused with a remedy, and what the engine gets of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from statelessnf.commands.check import explained, warnings
from statelessnf.config import Deployment, load, parse
from statelessnf.errors import ConfigError
from statelessnf.functions import function_class
from statelessnf.neighbour_options import neighbour_options
from statelessnf.owned import deployment_mac

pytestmark = pytest.mark.beside

EXAMPLES = Path(__file__).parent.parent / "examples"
FILE = Path("edge.toml")
NAT: dict[str, Any] = {
    "name": "edge",
    "function": "nat",
    "inside": ["10.0.0.0/8", "fd00::/8"],
    "nat": {"pool": [{"addresses": ["203.0.113.8/31", "2001:db8::8"]}]},
}
OUTSIDE = {"on_link": ["203.0.113.0/24", "2001:db8::/64"], "gateway": ["203.0.113.1", "2001:db8::1"]}


def nat(**network: Any) -> Deployment:
    return parse({**NAT, "network": network}, FILE)


def v4(*numbers: int) -> int:
    return 0xFFFF << 32 | int.from_bytes(bytes(numbers), "big")


DOC6 = 0x2001_0DB8 << 32


def test_defaults() -> None:
    options = neighbour_options(parse(NAT, FILE))
    assert options == {
        "mac": deployment_mac("edge"),
        "inside": {
            "owned": [],
            "on_link": [
                (0, v4(10, 0, 0, 0), 0, v4(10, 255, 255, 255)),
                (0xFD << 56, 0, (0xFE << 56) - 1, (1 << 64) - 1),
            ],
            "gateways": [],
            "vlan": 0,
        },
        "outside": {
            "owned": [(0, v4(203, 0, 113, 8), 0, v4(203, 0, 113, 9)), (DOC6, 8, DOC6, 8)],
            "on_link": [],
            "gateways": [],
            "vlan": 0,
        },
    }


def test_everything_that_may_be_said() -> None:
    inside = {"on_link": "10.1.0.0/16", "address": ["10.1.0.254", "fe80::1"], "gateway": "10.1.0.1", "vlan": 7}
    options = neighbour_options(nat(inside=inside, outside={**OUTSIDE, "address": "203.0.113.254"}))
    assert options is not None
    low = v4(10, 1, 0, 254)
    assert options["inside"] == {
        "owned": [(0, low, 0, low), (0xFE80 << 48, 1, 0xFE80 << 48, 1)],
        "on_link": [(0, v4(10, 1, 0, 0), 0, v4(10, 1, 255, 255))],
        "gateways": [(0, v4(10, 1, 0, 1), 0, v4(10, 1, 0, 1))],
        "vlan": 7,
    }
    outside = options["outside"]
    assert outside["owned"][0] == (0, v4(203, 0, 113, 254), 0, v4(203, 0, 113, 254))
    assert len(outside["owned"]) == 3
    assert outside["gateways"] == [(0, v4(203, 0, 113, 1), 0, v4(203, 0, 113, 1)), (DOC6, 1, DOC6, 1)]


def test_a_load_balancer_owns_its_virtual_addresses_outside() -> None:
    deployment = load(EXAMPLES / "load-balancer.toml")
    assert [str(one) for one in deployment.owned] == ["192.0.2.10/32", "2001:db8::53/128"]
    options = neighbour_options(deployment)
    assert options is not None
    assert [row[3] for row in options["outside"]["owned"]] == [v4(192, 0, 2, 10), 0x53]


def test_functions_that_leave_packets_as_they_are_have_no_neighbours() -> None:
    firewall = load(EXAMPLES / "firewall.toml")
    assert neighbour_options(firewall) is None
    assert function_class("firewall").owned(firewall.settings) == []


@pytest.mark.parametrize(
    ("network", "key", "says"),
    [
        ({"outsid": {}}, "outsid", "did you mean 'outside'?"),
        ({"outside": {"gatewy": []}}, "outside.gatewy", "did you mean 'gateway'?"),
        (
            {"outside": {"gateway": "203.0.113.1"}},
            "outside.gateway",
            "add its network to on_link, such as '203.0.113.0/24'",
        ),
        ({"outside": {"gateway": "2001:db8::1"}}, "outside.gateway", "such as '2001:db8::/64'"),
        ({"inside": {"address": "192.168.0.1"}}, "inside.address", "in no network that is on-link inside"),
        ({"inside": {"address": "169.254.0.1"}}, "inside.address", "in no network that is on-link inside"),
        ({"inside": {"gateway": ["10.0.0.1", "10.0.0.2"]}}, "inside.gateway", "name one address of each version"),
        ({"inside": {"gateway": ["10.0.0.0/24"]}}, "inside.gateway[0]", "is 256 addresses; write a single one"),
        ({"inside": {"gateway": ["224.0.0.1"]}}, "inside.gateway[0]", "multicast"),
        ({"inside": {"on_link": ["10.0.0.1/8"]}}, "inside.on_link[0]", "write '10.0.0.0/8'"),
        ({"inside": {"vlan": 4095}}, "inside.vlan", "less than or equal to 4094"),
        ({"inside": {"vlan": True}}, "inside.vlan", "whole number"),
        (
            {"inside": {"on_link": [f"10.0.0.{i}/32" for i in range(256)] + ["10.0.1.0/32"]}},
            "inside.on_link",
            "at most 256",
        ),
        (
            {"outside": {"on_link": ["10.1.0.0/16"]}},
            "outside.on_link",
            "10.1.0.0/16 outside and 10.0.0.0/8 inside overlap",
        ),
        (
            {"outside": {**OUTSIDE, "gateway": "203.0.113.9"}},
            "outside.gateway",
            "of the deployment itself; name the router's",
        ),
        ({"inside": {"address": "10.0.0.1", "gateway": "10.0.0.1"}}, "inside.gateway", "of the deployment itself"),
    ],
)
def test_refused(network: dict[str, Any], key: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        nat(**network)
    assert str(caught.value).startswith(f"edge.toml: network.{key}: ")
    assert says in str(caught.value)


def test_link_local_gateways_need_no_network() -> None:
    assert nat(outside={"gateway": "fe80::1"}).network.outside.gateway[0].is_link_local


def test_refused_where_packets_stay_as_they_are() -> None:
    with pytest.raises(ConfigError, match=r"network: function firewall leaves packets as they are.*remove the section"):
        parse({"name": "edge", "function": "firewall", "network": {}}, FILE)


def test_check_says_what_is_answered_for_and_what_is_missing() -> None:
    deployment = nat(inside={"address": ["10.0.0.254", "fd00::fe"]}, outside={**OUTSIDE, "gateway": "203.0.113.1"})
    lines = list(explained(deployment))
    assert f"Every instance has the MAC address {deployment_mac('edge').hex(':')}." in lines
    assert "ARP and neighbour discovery inside are answered for 10.0.0.254, fd00::fe." in lines
    assert "ARP and neighbour discovery outside are answered for 203.0.113.8/31, 2001:db8::8/128." in lines
    found = [line for line in warnings(deployment) if "network" in line]
    assert found == [
        "network.inside.address: packets sent to it have no IPv6 gateway outside; set network.outside.gateway"
    ]
