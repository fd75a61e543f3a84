"""The sides of a throughput comparison: one function in every mode over one store, and the store itself.

Each mode is a pipe of its own (own flows, own records) that stands still while the others have their turn, so all
sides share cores, store and noise. `reference` parses, makes the key and says FORWARD: what any function has to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from statelessnf import _engine
from statelessnf.bench.raw_client import BATCH, RawClient, commits, fill, fill_pairs, lookups, pair_changes, pairs
from statelessnf.config import Deployment
from statelessnf.errors import StoreUnavailable
from statelessnf.pipe_options import pipe_options
from statelessnf.store_access import OpenStore

STORE_KEYS = 20_000
MOST_PAIRS = 500_000  # a second: no store creates so many
CONNECT_SECONDS = 5.0
WARM_UP = 0.5  # seconds
MODES = ("baseline", "off", "tracked")

# Makes a pipe that eats traffic of one shape and frame size.
MakeTraffic = Callable[[Mapping[str, Any]], _engine.Traffic]


@dataclass(frozen=True)
class Rate:
    """What one slice gave."""

    packets: int
    seconds: float

    @property
    def mpps(self) -> float:
        return self.packets / self.seconds / 1e6


class Side:
    """One mode's pipe with its traffic."""

    def __init__(self, traffic: _engine.Traffic, seconds: float, reference: bool = False) -> None:
        self.traffic, self.seconds, self.reference = traffic, seconds, reference
        self._before: dict[str, Any] = {}
        self._wait()
        traffic.run(WARM_UP, reference)
        self.forget()

    def _wait(self) -> None:
        until = time.monotonic() + CONNECT_SECONDS
        while not self.traffic.connect():
            if time.monotonic() > until:
                raise StoreUnavailable("does not answer the benchmark's pipe", do="look at the store's log")
            time.sleep(0.001)

    def measure(self) -> float:
        """Mpps over one slice, dropped packets not counted."""
        forwarded, _, ns = self.traffic.run(self.seconds, self.reference)
        return Rate(forwarded, ns / 1e9).mpps

    def measure_created(self) -> float:
        """Million flows over one slice, of one packet each and of a commit.

        Those that waited for the store when the slice began do not count: the store had the time between for them.
        """
        waiting: int = self.traffic.stats()["in_flight"]
        forwarded, _, ns = self.traffic.run(self.seconds)
        return max(forwarded - waiting, 1) / ns * 1e3

    def forget(self) -> None:
        """Statistics begin here."""
        self._before = self.traffic.stats()

    def since(self) -> dict[str, int]:
        """What was asked of the store, and how many flows and packets there were, since `forget`."""
        now, names = self.traffic.stats(), ("reads", "tracked_reads", "commits", "conflicts", "flows_opened")
        counts = {name: now[name] - self._before[name] for name in names}
        counts["packets"] = sum(now["forwarded"]) - sum(self._before["forwarded"])
        counts["drops"] = sum(now["drops"].values()) + sum(now["function_drops"])
        counts["drops"] -= sum(self._before["drops"].values()) + sum(self._before["function_drops"])
        return counts


def mode_options(deployment: Deployment, program: Any, store: OpenStore, mode: str) -> dict[str, Any]:
    """Options of a pipe in `mode`; each mode has records of its own in the store."""
    options = pipe_options(deployment, program, None if mode == "baseline" else store.access)
    options.update(mode=mode, acl=True, deployment=options["deployment"] ^ MODES.index(mode))
    return options


class StoreSide:
    """The store's own ceilings, by the least of clients, for a function with these traits (_engine.pyi)."""

    def __init__(self, address: str, seconds: float, traits: Mapping[str, Any]) -> None:
        self.client, self.seconds = RawClient(address), seconds
        fill(self.client, STORE_KEYS)
        self._lookups, self._commits = lookups(STORE_KEYS), commits(STORE_KEYS)
        if traits["rewrites"]:
            fill_pairs(self.client, STORE_KEYS)
            self._commits = pair_changes(STORE_KEYS, timed=traits["timed"])

    def lookups(self) -> float:
        """Million keys a second."""
        return self.client.rate(self._lookups, self.seconds) / 1e6

    def commits(self) -> float:
        """Million commits a second, as the function makes most of them."""
        return self.client.rate(self._commits, self.seconds) / 1e6


class PairSide:
    """The store's rate of new flows of two keys, by the least of clients."""

    def __init__(self, address: str, seconds: float) -> None:
        self.client, self.seconds, self._first = RawClient(address), seconds, 0

    def create(self) -> float:
        """Million pairs of keys a second; other keys at each call."""
        count = max(int(MOST_PAIRS * self.seconds) // BATCH, 1) * BATCH
        batches = pairs(self._first, count)
        self._first += count
        return self.client.rate(batches, self.seconds, again=False) / 1e6
