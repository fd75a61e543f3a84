"""`snf bench store`: the store's own rates and latencies, from the least of clients (§7.2.1 of the paper)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from statelessnf.bench.raw_client import BATCH, VALUE, RawClient, commits, encode, fill, key, lookups
from statelessnf.bench.slices import median_interval, take_turns
from statelessnf.store.checks import StoreAccess

KEYS = 100_000
LATENCIES = 5_000  # round trips
PAPER = {"look-ups": 4.7e6, "commits": 0.7e6}  # RAMCloud, one server of 12 cores, InfiniBand


def creations(turn: int) -> list[tuple[bytes, int]]:
    """SET … NX GET PXAT of keys that nobody has: new flows. Other keys in every turn; they live for a second."""
    expire = b"%d" % (int(time.time() * 1000) + 1000)
    first = 1_000_000_000 * (turn + 1)
    commands = [encode(b"SET", key(first + i), VALUE, b"NX", b"GET", b"PXAT", expire) for i in range(KEYS)]
    return [(b"".join(commands[i : i + BATCH]), BATCH * len(b"_\r\n")) for i in range(0, KEYS, BATCH)]


def store_rates(
    access: StoreAccess, turns: int, slice_s: float, progress: Callable[[int], None]
) -> list[dict[str, Any]]:
    """Rows: operation, operations a second with its interval, the paper's figure, and latencies in µs."""
    client = RawClient(access.address)
    client.call(b"HELLO", b"3")
    fill(client, KEYS)
    reads, writes, turn = lookups(KEYS), commits(KEYS), iter(range(1_000_000))

    def create() -> float:
        batches, start = creations(next(turn)), time.perf_counter()
        for request, size in batches:
            client.socket.sendall(request)
            client.receive(size)
        return KEYS / (time.perf_counter() - start)

    rates = take_turns(
        {
            "look-ups": lambda: client.rate(reads, slice_s),
            "commits": lambda: client.rate(writes, slice_s),
            "new flows": create,
        },
        turns,
        progress,
    )
    rows = [_rate_row(name, values) for name, values in rates.items()]
    single = (encode(b"GET", key(0)), len(b"$%d\r\n%s\r\n" % (len(VALUE), VALUE)))
    rows.append(_latency_row("one look-up", client.latencies(*single, LATENCIES)))
    rows.append(_latency_row(f"{BATCH} look-ups", client.latencies(*reads[0], LATENCIES // 5)))
    rows.append(_latency_row(f"{BATCH} commits", client.latencies(*writes[0], LATENCIES // 5)))
    client.close()
    return rows


def _rate_row(name: str, values: list[float]) -> dict[str, Any]:
    middle = median_interval(values)
    return {
        "operation": name,
        "per_second": round(middle.median),
        "low": round(middle.low),
        "high": round(middle.high),
        "paper_per_second": PAPER.get(name),
    }


def _latency_row(name: str, seconds: list[float]) -> dict[str, Any]:
    cuts = statistics.quantiles([value * 1e6 for value in seconds], n=100)
    return {"operation": name, "p50_us": round(cuts[49], 1), "p95_us": round(cuts[94], 1), "p99_us": round(cuts[98], 1)}
