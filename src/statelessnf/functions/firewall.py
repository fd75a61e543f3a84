"""Stateful firewall (Algorithm 4 of the paper): ordered static rules decide who may open a flow; its packets pass.

`process` is the paper's procedure: the engine has read the session's state (`record`), the state is updated, and the
packet is sent or dropped by it. Rules are asked only about packets that would open a flow, so a reload leaves flows
alone; `record.version` and `record.rule` tell by what a flow was let in. A dropped packet changes nothing, and what
passes without changing the state (data, acknowledgements) leaves the record as it is, byte by byte.
"""

import zlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from statelessnf.function import Function, classify
from statelessnf.functions.opening import may_open
from statelessnf.functions.queries import ask, belongs, is_request
from statelessnf.functions.rules import ACTIONS, ALLOW, MAX_RULES, REJECT, Rule, check_size, rule_rows
from statelessnf.functions.tcp_reset import is_exact_reset, is_over
from statelessnf.functions.tcp_states import CLOSE, DOUBTED, FIRST_LOW, NONE, REVIVED
from statelessnf.functions.tcp_tracking import BAD_FLAGS, OPENS, PASS, begin, is_settled, track
from statelessnf.functions.tcp_window import elapsed, touch
from statelessnf.functions.timeouts import (
    GENERIC,
    QUERIED,
    ROW,
    STREAM,
    UNACKNOWLEDGED,
    UNREPLIED,
    Timeouts,
    timeout_rows,
)
from statelessnf.packet import FORWARD, ICMP, ICMPV6, ORDINARY, RST, TCP, UDP, count, drop_as, event, reject

# Drop reasons by index; INVALID_FLAGS to OUT_OF_WINDOW are in the order of the refusals of `track`.
NO_FLOW, RULE_DENIED, DEFAULT_DENIED, INVALID_FLAGS, INVALID_STATE, OUT_OF_WINDOW, NOT_ASKED = range(7)
LOGGED_ALLOW, LOGGED_DENY = range(2)  # events
NO_RULE = 0xFFFF  # record.rule of a flow that the default let in

UDP_STREAM_MS = 2000  # a flow that is still answered after this time is a stream (as conntrack has it)


def side_of(packet: Any, record: Any) -> int:
    """0 if the sender opened the flow."""
    return 0 if (packet.from_low != 0) == (record.flags & FIRST_LOW != 0) else 1


def admitted(packet: Any, tables: Any, rule: int) -> int:
    """What rule number `rule` (negative: the default) says of a packet: FORWARD or a drop, with its effects."""
    action, log = tables.settings[0].default, 0
    if rule >= 0:
        action, log = tables.actions[rule].action, tables.actions[rule].log
        count(packet, rule)
    if log:
        event(packet, LOGGED_ALLOW if action == ALLOW else LOGGED_DENY, rule)
    if action == ALLOW:
        return FORWARD
    if action == REJECT:
        reject(packet)
    return drop_as(RULE_DENIED if rule >= 0 else DEFAULT_DENIED)


def clear(record: Any) -> None:
    """The tuple may be used again: nothing of the flow before is kept."""
    for side in range(2):
        record.end[side] = record.limit[side] = record.window[side] = record.scales[side] = 0
    record.flags = record.slack = record.noted = record.noted_window = record.noted_scale = 0


def enter(packet: Any, record: Any, tables: Any, rule: int) -> None:
    """The record of a flow that begins with this packet; its sender is side 0."""
    clear(record)
    record.flags = FIRST_LOW if packet.from_low else 0
    record.version = tables.settings[0].version
    record.rule = rule if rule >= 0 else NO_RULE
    touch(packet, record)
    if packet.protocol == TCP:
        begin(packet, record)
    elif packet.protocol == UDP:
        record.state = UNREPLIED
    elif packet.protocol in (ICMP, ICMPV6):
        record.state = QUERIED
        ask(packet, record, 0)
    else:
        record.state = GENERIC


def open_flow(packet: Any, record: Any, tables: Any) -> int:
    if not may_open(packet):
        return drop_as(NO_FLOW)
    rule = classify(tables.services, packet)
    verdict = admitted(packet, tables, rule)
    if verdict == FORWARD:
        enter(packet, record, tables, rule)
    return verdict


def is_live(record: Any) -> bool:
    return record.state != NONE and not is_over(record)


def follow_tcp(packet: Any, record: Any, tables: Any) -> int:
    side = side_of(packet, record)
    if is_settled(packet, record, side):
        return FORWARD
    if is_over(record):  # refused; the RST may come twice
        again = packet.tcp_flags & RST and is_exact_reset(packet, record, side)
        return FORWARD if again else open_flow(packet, record, tables)
    answer = track(packet, record, side)
    if answer == OPENS:
        return open_flow(packet, record, tables)
    return FORWARD if answer == PASS else drop_as(INVALID_FLAGS + answer - BAD_FLAGS)


def follow_udp(packet: Any, record: Any) -> int:
    late = elapsed(packet, record) >= UDP_STREAM_MS
    if record.state == UNREPLIED and late and side_of(packet, record) == 1:
        record.state = STREAM
    return FORWARD


def follow_query(packet: Any, record: Any, tables: Any) -> int:
    side = side_of(packet, record)
    if belongs(packet, record, side):
        return FORWARD
    if not is_request(packet.icmp_type):
        return drop_as(NOT_ASKED)
    verdict = admitted(packet, tables, classify(tables.services, packet))
    if verdict == FORWARD:
        ask(packet, record, side)
    return verdict


class Firewall(Function):
    """See the top of this file; docs/tcp-tracking.md on what it has in common with Linux conntrack."""

    name = "firewall"
    record = np.dtype(
        [
            ("state", "u1"),  # tcp_states.SYN_SENT ..., timeouts.UNREPLIED ...
            ("flags", "u1"),  # tcp_states.FIRST_LOW ...
            ("slack", "u1"),  # log2 of the bytes by which end and limit may lag behind
            ("scales", "u1", (2,)),  # window scale of each side, NO_WINDOW_SCALE: none
            ("rule", "<u2"),  # index of the rule that let the flow in, NO_RULE: the default did
            ("version", "<u4"),  # of the rules
            ("changed", "<u4"),  # ms modulo 2^32: last change of note
            ("end", "<u4", (2,)),  # TCP: highest sequence number sent, by side
            ("limit", "<u4", (2,)),  # TCP: highest that the peer allows
            ("window", "<u4", (2,)),  # TCP: largest window announced, bytes
            ("noted", "<u4"),  # tcp_states.NOTED_SYN, NOTED_ACK; ICMP: type of the request
            ("noted_window", "<u2"),
            ("noted_scale", "u1"),
        ]
    )
    drop_reasons = (
        "no_flow",
        "rule_denied",
        "default_denied",
        "invalid_flags",
        "invalid_state",
        "out_of_window",
        "not_asked",
    )
    events = ("rule_allowed", "rule_denied")
    counters = "rule_hits"
    table_types: ClassVar = {
        "timeouts": ROW,
        "settings": np.dtype([("version", "<u4"), ("default", "u1")]),
        "actions": np.dtype([("action", "u1"), ("log", "u1")]),
    }

    class Config(BaseModel):
        """Section [firewall] of the deployment file."""

        model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

        default: Literal["deny", "reject", "allow"] = "deny"
        rules: tuple[Rule, ...] = Field(default=(), max_length=MAX_RULES, strict=False)
        timeouts: Timeouts = Field(default_factory=Timeouts)

        @field_validator("rules")
        @classmethod
        def _not_too_many(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
            check_size(rules)
            return rules

    @staticmethod
    def tables(config: Any) -> Mapping[str, np.ndarray[Any, Any]]:
        actions = [(ACTIONS[rule.action], rule.log) for rule in config.rules]
        version = zlib.crc32(config.model_dump_json().encode())  # the same in every instance that has the same rules
        return {
            "timeouts": timeout_rows(config.timeouts),
            "settings": np.array([(version, ACTIONS[config.default])], Firewall.table_types["settings"]),
            "actions": np.array(actions, Firewall.table_types["actions"]),
        }

    @staticmethod
    def rules(config: Any) -> np.ndarray[Any, Any]:
        """Rows for the classifier behind `tables.services`."""
        return rule_rows(config.rules)

    @staticmethod
    def process(packet: Any, record: Any, tables: Any) -> int:
        if packet.kind != ORDINARY:  # ICMP errors and later fragments follow their flow and never change it
            return FORWARD if is_live(record) else drop_as(NO_FLOW)
        if record.state == NONE:
            return open_flow(packet, record, tables)
        if packet.protocol == TCP:
            return follow_tcp(packet, record, tables)
        if packet.protocol == UDP:
            return follow_udp(packet, record)
        if packet.protocol in (ICMP, ICMPV6):
            return follow_query(packet, record, tables)
        return FORWARD

    @staticmethod
    def lifetime(record: Any, tables: Any) -> int:
        milliseconds: int = tables.timeouts[record.state].milliseconds + 0
        if record.state >= UNREPLIED:
            return milliseconds
        if record.flags & DOUBTED:
            milliseconds = min(milliseconds, tables.timeouts[CLOSE].milliseconds + 0)
        elif record.flags & REVIVED:
            milliseconds = min(milliseconds, tables.timeouts[UNACKNOWLEDGED].milliseconds + 0)
        return milliseconds
