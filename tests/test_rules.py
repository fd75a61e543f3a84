"""Rules of the firewall: what the deployment file may say, what matches, and what can never match."""

from ipaddress import ip_address
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from statelessnf.fields import Fields
from statelessnf.functions.firewall import Firewall
from statelessnf.functions.rule_match import LinearRules, rule_warnings
from statelessnf.functions.rules import MAX_RULES, ROW, Rule, rule_rows
from statelessnf.packet import PACKET

pytestmark = pytest.mark.beside


def rules_of(*listed: dict[str, Any]) -> tuple[Rule, ...]:
    return tuple(Rule.model_validate({"action": "allow", **rule}) for rule in listed)


def packet(source: str = "10.0.0.1", destination: str = "192.0.2.1", **fields: Any) -> Any:
    element = np.zeros(1, PACKET)[0]
    element["version"], element["protocol"] = ip_address(source).version, 6
    for end, text in (("source", source), ("destination", destination)):
        address = int(ip_address(text)) | (0xFFFF << 32 if element["version"] == 4 else 0)
        element[f"{end}_high"], element[f"{end}_low"] = divmod(address, 1 << 64)
    for name, value in fields.items():
        element[name] = value
    return Fields(element)


def first(packet: Any, *listed: dict[str, Any]) -> int:
    return LinearRules(rule_rows(rules_of(*listed))).classify(packet)


def test_row_has_no_gaps() -> None:
    assert ROW.itemsize == 56
    assert sum(ROW[name].itemsize for name in ROW.names or ()) == 56


MATCHES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, True),
    ({}, {"source": "2001:db8::1", "destination": "2001:db8::2"}, True),
    ({"source": "10.0.0.0/8"}, {}, True),
    ({"source": ["11.0.0.0/8", "10.0.0.0/31"]}, {}, True),
    ({"source": "10.0.0.2/31"}, {}, False),
    ({"source": "10.0.0.1"}, {}, True),
    ({"source": "::/0"}, {}, False),
    ({"destination": "2001:db8::/127"}, {"source": "2001:db8::1", "destination": "2001:db8::2"}, False),
    ({"destination": "2001:db8::/126"}, {"source": "2001:db8::1", "destination": "2001:db8::2"}, True),
    ({"protocol": "tcp"}, {}, True),
    ({"protocol": 6}, {}, True),
    ({"protocol": "udp"}, {}, False),
    ({"protocol": 0}, {}, False),
    ({"protocol": 0}, {"protocol": 0}, True),
    ({"direction": "inbound"}, {}, False),
    ({"direction": "inbound"}, {"direction": 1}, True),
    ({"protocol": "tcp", "destination_ports": ["80", "8000-8999"]}, {"destination_port": 80}, True),
    ({"protocol": "tcp", "destination_ports": ["80", "8000-8999"]}, {"destination_port": 8999}, True),
    ({"protocol": "tcp", "destination_ports": ["80", "8000-8999"]}, {"destination_port": 9000}, False),
    ({"protocol": "tcp", "destination_ports": 80}, {"destination_port": 80}, True),
    ({"protocol": "udp", "source_ports": "53"}, {"source_port": 53, "protocol": 17}, True),
    ({"protocol": "udp", "source_ports": "53"}, {"source_port": 54, "protocol": 17}, False),
    ({"protocol": "icmp"}, {"protocol": 1, "icmp_type": 13}, True),
    ({"protocol": "icmp", "icmp_types": ["echo-request"]}, {"protocol": 1, "icmp_type": 13}, False),
    ({"protocol": "icmp", "icmp_types": [8, 13]}, {"protocol": 1, "icmp_type": 13}, True),
    ({"protocol": "icmp"}, {"source": "::1", "destination": "::1", "protocol": 1, "icmp_type": 8}, False),
    (
        {"protocol": "icmpv6", "icmp_types": "echo-request"},
        {"source": "::1", "destination": "::1", "protocol": 58, "icmp_type": 128},
        True,
    ),
]


@pytest.mark.parametrize(("rule", "fields", "matches"), MATCHES)
def test_match(rule: dict[str, Any], fields: dict[str, Any], matches: bool) -> None:
    assert first(packet(**fields), rule) == (0 if matches else -1)


def test_first_match_wins() -> None:
    listed: tuple[dict[str, Any], ...] = ({"source": "10.0.0.2"}, {"source": "10.0.0.0/8", "action": "deny"}, {})
    assert [first(packet(f"10.0.0.{i}"), *listed) for i in (1, 2)] == [1, 0]
    assert first(packet("11.0.0.1"), *listed) == 2
    assert first(packet()) == -1


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"source": "10.0.0.1/8"}, "write '10.0.0.0/8'"),
    ({"source": "10.0.0.0/33"}, "is no network"),
    ({"source": 10}, "network in quotes"),
    ({"source": "10.0.0.0/8", "destination": "fd00::/8"}, "not of one IP version"),
    ({"source": "fd00::/8", "protocol": "icmp"}, "not of one IP version"),
    ({"protocol": "icmp", "destination_ports": ["80"]}, "protocol icmp has no ports"),
    ({"destination_ports": ["80"]}, "a rule for any protocol has no ports"),
    ({"protocol": "tcp", "destination_ports": ["90-80"]}, "write '80-90'"),
    ({"protocol": "tcp", "destination_ports": ["65536"]}, "ports end at 65535"),
    ({"protocol": "tcp", "destination_ports": ["http"]}, "is no port"),
    ({"protocol": "tcp", "destination_ports": [True]}, "is no port"),
    ({"protocol": "tpc"}, "is no protocol"),
    ({"protocol": 256}, "is no protocol"),
    ({"protocol": "tcp", "icmp_types": [8]}, "protocol tcp has no ICMP types"),
    ({"protocol": "icmp", "icmp_types": [0]}, "never meets the rules"),
    ({"protocol": "icmpv6", "icmp_types": [8]}, "never meets the rules"),
    ({"protocol": "icmp", "icmp_types": ["echo-reply"]}, "never meets the rules"),
    ({"direction": "out"}, "outbound"),
    ({"action": "drop"}, "allow"),
    ({"ports": ["80"]}, "Extra inputs"),
    ({"log": 1}, "valid boolean"),
]


@pytest.mark.parametrize(("rule", "message"), REFUSED)
def test_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match="(?s)" + message):
        rules_of(rule)


def test_limits() -> None:
    with pytest.raises(ValidationError, match="at most 4096"):
        Firewall.Config.model_validate({"rules": [{"action": "deny"}] * (MAX_RULES + 1)})
    many = {"protocol": "tcp", "source_ports": list(range(300)), "destination_ports": list(range(300))}
    with pytest.raises(ValidationError, match=r"rules\[0\] makes 180000 combinations"):
        Firewall.Config.model_validate({"rules": [{"action": "deny", **many}]})


WARNINGS: list[tuple[list[dict[str, Any]], list[str]]] = [
    ([{"source": "10.0.0.0/8"}, {"source": "10.1.0.0/16"}], ["rules[1] is never reached: rules[0] matches all of it"]),
    ([{"source": "10.1.0.0/16"}, {"source": "10.0.0.0/8"}], []),
    ([{}, {}], ["rules[1] is the same as rules[0]"]),
    ([{}, {"action": "deny", "protocol": "udp"}], ["rules[1] (deny) is never reached: rules[0] decides otherwise"]),
    ([{"protocol": "udp"}, {"action": "deny"}], []),
    ([{"protocol": 0}, {"action": "deny"}], []),
    ([{"direction": "inbound"}, {"direction": "outbound"}, {}], []),
    (
        [{"source": "0.0.0.0/0"}, {"source": "::/0"}, {"protocol": "gre"}],
        ["rules[2] is never reached: rules[0], rules[1]"],
    ),
    (
        [
            {"protocol": "tcp", "destination_ports": ["1-100"]},
            {"protocol": "tcp", "destination_ports": ["50-60", "70"]},
            {"protocol": "tcp", "destination_ports": ["50-60", "170"]},
        ],
        ["rules[1] is never reached"],
    ),
]


@pytest.mark.parametrize(("listed", "expected"), WARNINGS)
def test_warnings(listed: list[dict[str, Any]], expected: list[str]) -> None:
    found = rule_warnings(rules_of(*listed))
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)


_some_rule = st.fixed_dictionaries(
    {},
    optional={
        "source": st.sampled_from(["10.0.0.0/30", "10.0.0.0/31", "10.0.0.1", "::/0", "fd00::/127"]),
        "protocol": st.sampled_from(["tcp", "udp", "any"]),
        "direction": st.sampled_from(["inbound", "outbound", "any"]),
    },
)


@given(st.lists(_some_rule, max_size=5), st.integers(0, 3), st.sampled_from([6, 17, 47]), st.integers(0, 1))
def test_a_rule_that_is_warned_of_is_never_the_answer(
    listed: list[dict[str, Any]], host: int, protocol: int, direction: int
) -> None:
    hidden = [int(line.split("]")[0][6:]) for line in rule_warnings(rules_of(*listed))]
    for ends in ((f"10.0.0.{host}", "192.0.2.1"), (f"fd00::{host}", "fd00::9")):
        found = first(packet(*ends, protocol=protocol, direction=direction), *listed)
        assert found not in hidden
