"""Rules in the store: one published section for each deployment, under a version, and which instance has which.

Beside it, each instance's figures of the last seconds.

The section named as the function, as JSON, stands under one key and is replaced by compare-and-set with the next
version (architecture.md, section 4). Every instance looks at it once a second, swaps, and says so in a hash whose
fields expire when it stops saying it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from statelessnf.errors import ConfigError
from statelessnf.store.client import StoreClient
from statelessnf.store.library import ensure_library
from statelessnf.store.url import StoreUrl

PRESENCE_MS = 5000  # an instance that says nothing for so long is not counted


@dataclass(frozen=True)
class Published:
    """What stands in the store: the function's section, valid when it was published."""

    version: int
    function: str
    section: dict[str, Any]


class Publications:
    """The published section of one deployment. Every method raises StoreError."""

    def __init__(self, url: StoreUrl, deployment: str) -> None:
        self._client = StoreClient(url)
        self._tables = f"statelessnf:{deployment}:tables"
        self._instances = f"statelessnf:{deployment}:instances"
        self._figures = f"statelessnf:{deployment}:figures"

    def close(self) -> None:
        self._client.close()

    def ensure_library(self) -> None:
        """What flows of two keys need stands in the store, also where that was emptied."""
        ensure_library(self._client)

    def current(self) -> Published | None:
        """What is published; None: nothing yet."""
        stands = self._stands()
        return None if stands is None else _decoded(stands)

    def publish(self, function: str, section: dict[str, Any]) -> Published:
        """Replaces what stands there, whatever it is; unchanged content keeps its version."""
        while True:
            stands = self._stands()
            before = None if stands is None else _decoded(stands)
            if before is not None and (before.function, before.section) == (function, section):
                return before
            after = Published(1 if before is None else before.version + 1, function, section)
            if self._replace(stands, json.dumps(asdict(after)).encode()):
                return after

    def offer(self, function: str, section: dict[str, Any]) -> Published:
        """Publishes only where nothing is yet; gives what stands there then."""
        first = Published(1, function, section)
        if self._replace(None, json.dumps(asdict(first)).encode()):
            return first
        return self.current() or first

    def announce(self, instance: str, version: int) -> None:
        """Says that `instance` lives and has `version`."""
        self._client.call("HSETEX", self._instances, "PX", PRESENCE_MS, "FIELDS", 1, instance, version)

    def report(self, instance: str, figures: dict[str, Any]) -> None:
        """What `instance` counts, for all who ask."""
        text = json.dumps(figures)
        self._client.call("HSETEX", self._figures, "PX", PRESENCE_MS, "FIELDS", 1, instance, text)

    def leave(self, instance: str) -> None:
        """`instance` stops."""
        self._client.call("HDEL", self._instances, instance)
        self._client.call("HDEL", self._figures, instance)

    def figures(self) -> dict[str, dict[str, Any]]:
        """What living instances last reported, by instance; what is no JSON object is left out."""
        found = self._client.pairs("HGETALL", self._figures)
        read = {name: _object(text) for name, text in found.items()}
        return {name: figures for name, figures in read.items() if figures is not None}

    def instances(self) -> dict[str, int]:
        """Version by living instance."""
        found = self._client.pairs("HGETALL", self._instances)
        return {name: int(version) for name, version in found.items()}

    def memory_share(self) -> float:
        """How full the store is, 0 to 1 of its `maxmemory` (0 without a limit)."""
        memory = self._client.info("memory")
        limit = int(memory.get("maxmemory", 0))
        return int(memory["used_memory"]) / limit if limit else 0.0

    def _stands(self) -> bytes | None:
        value = self._client.call("GET", self._tables)
        return value if isinstance(value, bytes) else None

    def _replace(self, old: bytes | None, new: bytes) -> bool:
        condition = ("NX",) if old is None else ("IFEQ", old)
        return self._client.call("SET", self._tables, new, *condition) is not None


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _decoded(stands: bytes) -> Published:
    try:
        return Published(**json.loads(stands))
    except (ValueError, TypeError) as error:
        raise ConfigError("the published rules cannot be read", "store", "publish again with snf reload") from error
