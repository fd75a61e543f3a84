"""Rules without the engine: the linear classifier, and what `snf check` says of rules that cannot do anything."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from statelessnf.functions.rules import DIRECTIONS, Rule, rule_rows

Rows = np.ndarray[Any, Any]
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


def _masks(prefix: Any) -> tuple[Any, Any]:
    """High and low halves of the 128-bit masks of prefix lengths (n, u1)."""
    bits = np.arange(129)
    high = [int(_ALL) << (64 - min(n, 64)) & int(_ALL) for n in bits.tolist()]
    low = [int(_ALL) << (64 - max(n - 64, 0)) & int(_ALL) for n in bits.tolist()]
    return np.array(high, np.uint64)[prefix], np.array(low, np.uint64)[prefix]


class LinearRules:
    """The first row that matches, found by looking at each: slow, and plain enough to be right."""

    def __init__(self, rows: Rows) -> None:
        """`rows`: (n, rules.ROW), in order."""
        self._rows = rows
        self._source, self._destination = _masks(rows["source_prefix"]), _masks(rows["destination_prefix"])

    def _in_network(self, packet: Any, end: str, masks: tuple[Any, Any]) -> Any:
        high, low = np.uint64(getattr(packet, f"{end}_high")), np.uint64(getattr(packet, f"{end}_low"))
        same_high = (high & masks[0]) == self._rows[f"{end}_high"]
        return same_high & ((low & masks[1]) == self._rows[f"{end}_low"])

    def _in_range(self, value: int, name: str) -> Any:
        return (self._rows[f"{name}_first"] <= value) & (value <= self._rows[f"{name}_last"])

    def classify(self, packet: Any) -> int:
        """Index of the first rule that matches `packet` (fields of PACKET as attributes), -1 if none does."""
        rows = self._rows
        match = (rows["version"] == packet.version) & ((packet.protocol & rows["protocol_mask"]) == rows["protocol"])
        match &= (rows["direction"] == DIRECTIONS["any"]) | (rows["direction"] == packet.direction)
        match &= self._in_network(packet, "source", self._source)
        match &= self._in_network(packet, "destination", self._destination)
        match &= self._in_range(packet.source_port, "source_port")
        match &= self._in_range(packet.destination_port, "destination_port")
        match &= self._in_range(packet.icmp_type, "icmp_type")
        found = np.flatnonzero(match)
        return int(rows["rule"][found[0]]) if len(found) else -1


_RANGES = ("source_port", "destination_port", "icmp_type")
_CHECKED_ROWS = 8192  # the comparison is quadratic


def _covering(rows: Rows, one: Any) -> Any:
    """Which of `rows` match all that `one` matches."""
    covers = (rows["version"] == one["version"]) & ((one["protocol"] & rows["protocol_mask"]) == rows["protocol"])
    covers &= rows["protocol_mask"] <= one["protocol_mask"]
    covers &= (rows["direction"] == DIRECTIONS["any"]) | (rows["direction"] == one["direction"])
    for name in _RANGES:
        covers &= (rows[f"{name}_first"] <= one[f"{name}_first"]) & (one[f"{name}_last"] <= rows[f"{name}_last"])
    for end in ("source", "destination"):
        high, low = _masks(rows[f"{end}_prefix"])
        covers &= rows[f"{end}_prefix"] <= one[f"{end}_prefix"]
        covers &= (one[f"{end}_high"] & high) == rows[f"{end}_high"]
        covers &= (one[f"{end}_low"] & low) == rows[f"{end}_low"]
    return covers


def _hidden_by(rows: Rows, index: int) -> set[int]:
    """Rules before rule `index` that together match all that it matches; empty if it can be reached."""
    earlier, hiding = rows[rows["rule"] < index], set()
    for one in rows[rows["rule"] == index]:
        covering = np.flatnonzero(_covering(earlier, one))
        if not len(covering):
            return set()
        hiding.add(int(earlier["rule"][covering[0]]))
    return hiding


def rule_warnings(rules: Sequence[Rule]) -> list[str]:
    """One line for each rule that is never reached, with the earlier rules that match first."""
    rows, lines = rule_rows(rules), []
    if len(rows) > _CHECKED_ROWS:
        return [f"{len(rows)} rule rows are too many to look for rules that are never reached"]
    for index, rule in enumerate(rules):
        hiding = sorted(_hidden_by(rows, index))
        if not hiding:
            continue
        by = ", ".join(f"rules[{i}]" for i in hiding)
        if len(hiding) == 1 and rules[hiding[0]] == rule:
            lines.append(f"rules[{index}] is the same as {by}; remove it")
        elif any(rules[i].action != rule.action for i in hiding):
            lines.append(f"rules[{index}] ({rule.action}) is never reached: {by} decides otherwise before; move it up")
        else:
            lines.append(f"rules[{index}] is never reached: {by} matches all of it before; remove it")
    return lines
