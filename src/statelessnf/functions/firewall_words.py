"""What `snf check` says of a firewall's rules: each in words, in order, and those that can do nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from statelessnf.functions.rule_match import rule_warnings
from statelessnf.functions.rules import ANY_PROTOCOL, Range, Rule


def explain(settings: Any) -> Iterator[str]:
    """A line for each rule, one for the default, one for flows that are let in."""
    if settings.rules:
        yield "A packet that would open a flow meets these rules; the first that matches decides:"
    for index, rule in enumerate(settings.rules):
        yield f"  rules[{index}]: {rule_in_words(rule)}"
    yield f"  {'otherwise' if settings.rules else 'Every packet that would open a flow'}: {settings.default}"
    yield "Packets of a flow that was let in pass in both directions, as long as they fit its state."


def warnings(settings: Any) -> list[str]:
    """Rules that are never reached."""
    found = [f"firewall.{line}" for line in rule_warnings(settings.rules)]
    if settings.default != "allow" and not any(rule.action == "allow" for rule in settings.rules):
        found.append("firewall: nothing is ever let in; add a rule with action = 'allow'")
    return found


def rule_in_words(rule: Rule) -> str:
    """`allow outbound tcp from 10.0.0.0/8 to any address, ports 80, 8000-8999`."""
    words: list[str] = [rule.action]
    words += [] if rule.direction == "any" else [rule.direction]
    words += ["any protocol" if rule.protocol == ANY_PROTOCOL else rule.protocol_name.removeprefix("protocol ")]
    words += [f"type {', '.join(map(str, rule.icmp_types))}"] if rule.icmp_types else []
    words += _end("from", rule.source, rule.source_ports) + _end("to", rule.destination, rule.destination_ports)
    return " ".join(words) + (", and log it" if rule.log else "")


def _end(word: str, networks: Sequence[object], ports: Sequence[Range]) -> list[str]:
    if not networks and not ports:
        return []
    ranges = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ports)
    where = ", ".join(map(str, networks)) or "any address"
    return [f"{word} {where}" + (f" port {ranges}" if ranges else "")]
