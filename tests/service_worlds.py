"""Both back ends of the store services under one roof, with time that the test moves.

A test speaks of logical time. In memory it is the clock. On Valkey, whose clock cannot be moved, `pass_time` makes
everything that is stored older instead: due times in the sorted sets, deadlines in records. So the time that a test
really takes must be far less than the spans it speaks of (SPAN).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import valkey

from statelessnf.store.client import StoreClient
from statelessnf.store.memory_services import MemoryServices
from statelessnf.store.service_requests import NewFlow, Timer
from statelessnf.store.services import Services
from statelessnf.store.shards import TAGS
from statelessnf.store.url import unix_url
from statelessnf.store.valkey_services import ValkeyServices

SPAN = 1_000_000  # ms; no test takes that long
DEPLOYMENT = 0x0D0AFF00  # as bytes: zero, line end, not UTF-8
BACKSTOP = 100_000 * SPAN
FIELDS = b"\x00\r\n\xff$3\r\n"


def key(number: int, shard: int | None = None) -> bytes:
    """A flow key; by default the shard follows from the number."""
    return b"{%s}%sf%s\x00\r\n" % (
        TAGS[number % 256 if shard is None else shard],
        DEPLOYMENT.to_bytes(4, "little"),
        number.to_bytes(4, "big"),
    )


class World(Protocol):
    """Services, and what a test may do beside them."""

    services: Services

    def now(self) -> int:
        """Logical time."""

    def pass_time(self, ms: int) -> None:
        """Let it go by."""

    def stored(self, time: int) -> int:
        """A logical time as it stands in the store now."""

    def vanish(self, record: bytes) -> None:
        """A record expires by itself, or an operator deletes it."""

    def left(self) -> int:
        """How many things the store keeps."""


class MemoryWorld:
    """Over a clock of its own."""

    def __init__(self) -> None:
        self._now = 1_700_000_000_000
        self._services = MemoryServices(self.now)
        self.services: Services = self._services

    def now(self) -> int:
        return self._now

    def pass_time(self, ms: int) -> None:
        self._now += ms

    def stored(self, time: int) -> int:
        return time

    def vanish(self, record: bytes) -> None:
        self._services._records.pop(record, None)

    def left(self) -> int:
        return self._services.left()


class ValkeyWorld:
    """Over a real server, emptied."""

    def __init__(self, socket: Path, client: StoreClient) -> None:
        self.raw: Any = valkey.Valkey(unix_socket_path=str(socket))
        self.raw.flushall()
        self.services: Services = ValkeyServices(client, DEPLOYMENT, b"test\r\n")
        self._passed = 0

    def now(self) -> int:
        return self.services.now() + self._passed

    def pass_time(self, ms: int) -> None:
        self._passed += ms
        for name in list(self.raw.scan_iter(count=1000)):
            kind = self.raw.type(name)
            if kind == b"zset":
                for member in self.raw.zrange(name, 0, -1):
                    self.raw.zincrby(name, -ms, member)
            elif kind == b"string":
                value = self.raw.get(name)
                schema, nonce, deadline = struct.unpack_from("<BQQ", value)
                older = struct.pack("<BQQ", schema, nonce, deadline - ms) + value[17:]
                self.raw.set(name, older, keepttl=True)

    def stored(self, time: int) -> int:
        return time - self._passed

    def vanish(self, record: bytes) -> None:
        self.raw.delete(record)

    def left(self) -> int:
        return int(self.raw.dbsize())

    def close(self) -> None:
        self.raw.close()


@contextmanager
def valkey_world(socket: Path) -> Iterator[ValkeyWorld]:
    """On the server at `socket`, which is emptied."""
    with StoreClient(unix_url(str(socket))) as client:
        world = ValkeyWorld(socket, client)
        try:
            yield world
        finally:
            world.close()


def record(world: World, nonce: int, deadline: int) -> bytes:
    """A stored record with a logical deadline, as it reads now."""
    return struct.pack("<BQQ", 1, nonce, world.stored(deadline)) + FIELDS


def timer(world: World, number: int, due: int, token: bytes) -> Timer:
    """A timer with a logical due time."""
    return Timer(key(number), world.stored(due), token)


def flow(
    world: World, keys: tuple[bytes, ...], nonce: int, deadline: int, token: bytes, counter: bytes = b""
) -> NewFlow:
    """A flow with a logical deadline and a backstop far away."""
    return NewFlow(keys, record(world, nonce, deadline), world.stored(deadline) + BACKSTOP, token, counter)
