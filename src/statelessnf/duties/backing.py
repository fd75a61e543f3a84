"""What a duty keeps in the store, over a connection of its own; or in the process, where there is no store."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from statelessnf.errors import StoreReplyError
from statelessnf.store.client import Reply, StoreClient
from statelessnf.store.library import call_functions
from statelessnf.store.memory_services import MemoryServices
from statelessnf.store.services import Services
from statelessnf.store.shards import SHARDS, service_keys
from statelessnf.store.url import StoreUrl
from statelessnf.store.valkey_services import ValkeyServices
from statelessnf.store.values import MemoryValues, StoreValues, Values

FLOWS = b"flows"  # the engine's service: timers and counters of flows
CHECKS = b"checks"


class Backing(NamedTuple):
    """For one thread at a time."""

    services: Services
    values: Values
    close: Callable[[], None]


def backing(store: StoreUrl | None, deployment: int, name: bytes) -> Backing:
    """The service `name` of the deployment; None: in the process. Raises StoreError."""
    if store is None:
        return Backing(MemoryServices(), MemoryValues(), _nothing)
    client = StoreClient(store)
    return Backing(ValkeyServices(client, deployment, name), StoreValues(client), client.close)


def _nothing() -> None:
    return None


def timed_flows(client: StoreClient, deployment: int) -> int:
    """Flows that have a timer. Raises StoreError."""
    calls = [("ZCARD", service_keys(shard, deployment, FLOWS).timers) for shard in range(SHARDS)]
    return sum(_number(reply) for reply in call_functions(client, calls))


def stored_pairs(client: StoreClient) -> int:
    """Half the keys of the whole database: flows of two keys, where hardly anything else is kept. Raises StoreError."""
    return _number(client.call("DBSIZE")) // 2


def _number(reply: Reply) -> int:
    if not isinstance(reply, int):
        raise StoreReplyError(f"the store answered {reply!r:.80} where a number was due")
    return reply
