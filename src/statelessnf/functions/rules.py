"""Static rules: how the deployment file writes them, and the rows that classifiers look packets up in.

A rule becomes one row for each combination of its networks, ports and ICMP types; rows stay in the order of the
rules, and the first one that matches decides. `RuleRow` in engine/acl.hpp mirrors ROW byte by byte; `LinearRules` in
rule_match.py is the plain form of the classifier, and the oracle for the engine's.
"""

import ipaddress
import itertools
import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from statelessnf.functions.queries import REQUESTS
from statelessnf.networks import Network, NetworkField, listed, mapped
from statelessnf.packet import ICMP, ICMPV6, INBOUND, MAX_COUNTERS, OUTBOUND, SCTP, TCP, UDP

DENY, ALLOW, REJECT = range(3)
ACTIONS = {"deny": DENY, "allow": ALLOW, "reject": REJECT}
DIRECTIONS = {"outbound": OUTBOUND, "inbound": INBOUND, "any": 2}
MAX_RULES = MAX_COUNTERS  # one hit counter for each
MAX_ROWS = 65_536

ANY_PROTOCOL = 256
_PORTED = (TCP, UDP, SCTP)
_PROTOCOLS = {"any": ANY_PROTOCOL, "tcp": TCP, "udp": UDP, "icmp": ICMP, "icmpv6": ICMPV6, "sctp": SCTP}
_PROTOCOLS |= {"igmp": 2, "gre": 47, "esp": 50, "ah": 51, "ospf": 89}
_ICMP_NAMES = {
    ICMP: {"echo-request": 8, "timestamp-request": 13, "information-request": 15, "address-mask-request": 17},
    ICMPV6: {"echo-request": 128, "node-information-query": 139},
}

Range = tuple[int, int]  # both ends belong to it

ROW = np.dtype(
    [
        ("source_high", "<u8"),  # networks as in PACKET: IPv4 as ::ffff:a.b.c.d
        ("source_low", "<u8"),
        ("destination_high", "<u8"),
        ("destination_low", "<u8"),
        ("rule", "<u4"),  # index of the rule
        ("source_port_first", "<u2"),
        ("source_port_last", "<u2"),
        ("destination_port_first", "<u2"),
        ("destination_port_last", "<u2"),
        ("source_prefix", "u1"),  # bits of 128: 96 to 128 for IPv4
        ("destination_prefix", "u1"),
        ("version", "u1"),  # 4 or 6
        ("protocol", "u1"),
        ("protocol_mask", "u1"),  # 255, or 0: any
        ("direction", "u1"),  # 0 outbound, 1 inbound, 2 any
        ("icmp_type_first", "u1"),
        ("icmp_type_last", "u1"),
        ("reserved", "u1", (4,)),
    ]
)


def _ports(value: object) -> Range:
    if isinstance(value, tuple) and len(value) == 2:
        return value
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{value!r} is no port; write one such as '80', or a range such as '8000-8999'")
    first, last = int(found[1]), int(found[2] or found[1])
    if last > 65535:
        raise ValueError(f"{value!r} is no port; ports end at 65535")
    if first > last:
        raise ValueError(f"{value!r} is the wrong way round; write '{last}-{first}'")
    return first, last


def _protocol(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255:
        return value
    if isinstance(value, str) and value in _PROTOCOLS:
        return _PROTOCOLS[value]
    raise ValueError(f"{value!r} is no protocol; write its number (0 to 255), or one of {', '.join(_PROTOCOLS)}")


Networks = Annotated[tuple[NetworkField, ...], BeforeValidator(listed)]
ProtocolField = Annotated[int, BeforeValidator(_protocol), WithJsonSchema({"type": "string", "format": "protocol"})]
PortRange = Annotated[Range, BeforeValidator(_ports)]
Ports = Annotated[tuple[PortRange, ...], BeforeValidator(listed)]


class Rule(BaseModel):
    """One rule of the deployment file. What is not said matches everything."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    action: Literal["allow", "deny", "reject"]
    log: bool = False  # an event for each packet that the rule decides on
    direction: Literal["outbound", "inbound", "any"] = "any"  # outbound: received on the inside port
    source: Networks = ()
    destination: Networks = ()
    protocol: ProtocolField = ANY_PROTOCOL  # as "tcp" or 6; 256: any
    source_ports: Ports = ()  # as 80 or "8000-8999"
    destination_ports: Ports = ()
    icmp_types: Annotated[tuple[int | str, ...], BeforeValidator(listed)] = Field(default=())  # as "echo-request" or 8

    @model_validator(mode="after")
    def _consistent(self) -> "Rule":
        if (self.source_ports or self.destination_ports) and self.protocol not in _PORTED:
            raise ValueError(f"{self.protocol_name} has no ports; remove them, or set protocol to tcp, udp or sctp")
        if self.icmp_types and self.protocol not in _ICMP_NAMES:
            raise ValueError(f"{self.protocol_name} has no ICMP types; set protocol to icmp or icmpv6")
        self.icmp_numbers()
        if not self.versions():
            raise ValueError("networks and protocol are not of one IP version; no packet can match this rule")
        return self

    @property
    def protocol_name(self) -> str:
        names = {number: name for name, number in _PROTOCOLS.items()}
        name = names.get(self.protocol, str(self.protocol))
        return "a rule for any protocol" if self.protocol == ANY_PROTOCOL else f"protocol {name}"

    def versions(self) -> tuple[int, ...]:
        """IP versions that the rule can match."""
        possible = {4, 6} - ({6} if self.protocol == ICMP else {4} if self.protocol == ICMPV6 else set())
        for networks in (self.source, self.destination):
            if networks:
                possible &= {network.version for network in networks}
        return tuple(sorted(possible))

    def icmp_numbers(self) -> tuple[int, ...]:
        """Types by number. ValueError for one that cannot open a flow: errors and replies belong to flows."""
        names = _ICMP_NAMES.get(self.protocol, {})
        numbers = tuple(names.get(kind, -1) if isinstance(kind, str) else kind for kind in self.icmp_types)
        for kind, number in zip(self.icmp_types, numbers, strict=True):
            if number not in REQUESTS or number not in names.values():
                choices = ", ".join(f"{name} ({value})" for name, value in names.items())
                raise ValueError(f"ICMP type {kind!r} never meets the rules, it belongs to a flow; types are {choices}")
        return numbers


def _networks(networks: Sequence[Network], version: int) -> list[tuple[int, int]]:
    everything = ipaddress.ip_network("0.0.0.0/0" if version == 4 else "::/0")
    return [mapped(network) for network in networks or (everything,) if network.version == version]


def _rows_of(index: int, rule: Rule) -> list[tuple[Any, ...]]:
    one_protocol = rule.protocol != ANY_PROTOCOL
    protocol = (rule.protocol, 255) if one_protocol else (0, 0)
    types = [(number, number) for number in rule.icmp_numbers()] or [(0, 255)]
    ports = [rule.source_ports or ((0, 65535),), rule.destination_ports or ((0, 65535),)]
    rows = []
    for version in rule.versions():
        ends = (_networks(rule.source, version), _networks(rule.destination, version))
        for source, destination, sports, dports, icmp in itertools.product(*ends, *ports, types):
            addresses = (*divmod(source[0], 1 << 64), *divmod(destination[0], 1 << 64))
            match = (source[1], destination[1], version, *protocol, DIRECTIONS[rule.direction], *icmp, (0,) * 4)
            rows.append((*addresses, index, *sports, *dports, *match))
    return rows


def check_size(rules: Sequence[Rule]) -> None:
    """ValueError if the rules make more than MAX_ROWS rows; counted, not made."""
    total = 0
    for index, rule in enumerate(rules):
        lists = (rule.source, rule.destination, rule.source_ports, rule.destination_ports, rule.icmp_types)
        rows = math.prod(max(1, len(items)) for items in lists) * len(rule.versions())
        total += rows
        if total > MAX_ROWS:
            text = f"rules[{index}] makes {rows} combinations of networks, ports and types"
            raise ValueError(f"{text}, with those before more than {MAX_ROWS}; use wider networks and port ranges")


def rule_rows(rules: Sequence[Rule]) -> np.ndarray[Any, Any]:
    """Rows of all rules (n, ROW), in order."""
    return np.array([row for index, rule in enumerate(rules) for row in _rows_of(index, rule)], ROW)
