"""Engine statistics with the names that a reader wants: those of drop reasons and counters, and sums over pipes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from statelessnf.function import Function

Stats = dict[str, Any]
DENIED = "denied"


def added(parts: Iterable[Stats]) -> Stats:
    """Sum of statistics of one shape: numbers, lists and tables of numbers. Latencies (quantiles) are left out."""
    total: Stats = {}
    for part in parts:
        for name, value in part.items():
            if not name.endswith("_us"):
                total[name] = _sum(total[name], value) if name in total else value
    return total


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
    if isinstance(one, list):
        return [a + b for a, b in zip(one, other, strict=True)]
    return one + other


def drops(stats: Stats, function: type[Function]) -> dict[str, int]:
    """Packets by drop reason, the function's own by their names; only reasons that occurred, most frequent first."""
    named = dict(stats["drops"])
    for reason, count in zip(function.drop_reasons, stats["function_drops"], strict=False):
        named[reason] = named.get(reason, 0) + count
    return {name: count for name, count in sorted(named.items(), key=lambda item: -item[1]) if count}


def dropped(stats: Stats) -> int:
    """All packets dropped."""
    return int(sum(stats["drops"].values()) + sum(stats["function_drops"]))


def counters(stats: Stats, function: type[Function]) -> dict[str, dict[str, int]]:
    """The function's own counters by index, those that counted, under its name for them; {} if it has none."""
    if not function.counters:
        return {}
    return {function.counters: {str(index): count for index, count in stats["function_counters"].items()}}


def figures(stats: dict[str, Any], function: type[Function], seconds: float) -> dict[str, Any]:
    """Counts since the start; `received` and the like are sums over both sides."""
    names = ("new_flows", "cache_hits", "reads", "commits", "refreshes", "conflicts", "passed", "generated", "records")
    return {
        "seconds": round(seconds, 3),
        "received": sum(stats["received"]),
        "received_bytes": sum(stats["received_bytes"]),
        "forwarded": sum(stats["forwarded"]),
        "forwarded_bytes": sum(stats["forwarded_bytes"]),
        "dropped": dropped(stats),
        "drops": drops(stats, function),
        **{name: int(stats[name]) for name in names},
        **counters(stats, function),
        "rules_version": stats["rules_version"],
        "latency_us": stats["latency_us"],
        "store_latency_us": stats["store_latency_us"],
        **({"neighbours": stats["neighbours"]} if "neighbours" in stats else {}),
    }
