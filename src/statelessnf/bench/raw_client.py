"""The least a client can do: requests encoded beforehand, replies counted by their bytes. What is left is the store.

Several batches of 100 are in flight, so that the server never waits for us. It answers what the store's own ceiling
is on this machine, at this moment: look-ups of keys (MGET) and commits (SET … IFEQ … GET PXAT, as the engine sends it).
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Sequence

BATCH = 100  # keys or commands a request, as the engine sends them and as in §5.3 of the paper
IN_FLIGHT = 4
PAIR_KEYS = 1 << 60  # numbers of keys from here on are those of pairs
VALUE = b"v" * 64  # bytes, about a firewall record with its envelope
PAIR_VALUE = b"v" * 79  # bytes, a NAT's record with its envelope and what names the other key
LATEST = 1 << 53  # ms
PAIR_RECORD = b"\x01" + b"n" * 8 + LATEST.to_bytes(8, "little") + PAIR_VALUE[17:]


def encode(*words: bytes) -> bytes:
    """One command in RESP."""
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
    return b"".join(parts)


def key(number: int) -> bytes:
    """22 bytes, as an IPv4 flow key has."""
    return b"{bb}bnch" + number.to_bytes(14, "big")


class RawClient:
    """One blocking connection that sends prepared batches and counts the bytes of their replies."""

    def __init__(self, address: str) -> None:
        kind, _, place = address.partition(":")
        if kind == "unix":
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(place)
        else:
            host, _, port = place.rpartition(":")
            self.socket = socket.create_connection((host.strip("[]"), int(port)))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray(1 << 20)

    def close(self) -> None:
        self.socket.close()

    def call(self, *words: bytes) -> bytes:
        """One command whose reply is one short segment."""
        self.socket.sendall(encode(*words))
        return self.socket.recv(1 << 16)

    def receive(self, size: int) -> None:
        while size > 0:
            size -= self.socket.recv_into(self.buffer, min(size, len(self.buffer)))

    def rate(self, batches: Sequence[tuple[bytes, int]], seconds: float, *, again: bool = True) -> float:
        """Operations a second (BATCH in each of `batches`: request and size of its reply), sent round robin.

        Not `again`: each batch once, and the end when all are done, be it early.
        """
        done, start = 0, time.perf_counter()
        waiting: list[int] = []
        index, last = 0, math.inf if again else len(batches)
        while time.perf_counter() - start < seconds and done < last:
            while len(waiting) < IN_FLIGHT and index < last:
                request, size = batches[index % len(batches)]
                self.socket.sendall(request)
                waiting.append(size)
                index += 1
            self.receive(waiting.pop(0))
            done += 1
        elapsed = time.perf_counter() - start
        for size in waiting:
            self.receive(size)
        return done * BATCH / elapsed

    def latencies(self, request: bytes, size: int, count: int) -> list[float]:
        """Seconds for each of `count` round trips, one at a time."""
        taken = []
        for _ in range(count):
            start = time.perf_counter()
            self.socket.sendall(request)
            self.receive(size)
            taken.append(time.perf_counter() - start)
        return taken


def lookups(keys: int) -> list[tuple[bytes, int]]:
    """MGET of BATCH keys each, all `keys` of them, which hold VALUE."""
    size = len(b"*%d\r\n" % BATCH) + BATCH * (len(b"$%d\r\n" % len(VALUE)) + len(VALUE) + 2)
    return [(encode(b"MGET", *map(key, range(i, i + BATCH))), size) for i in range(0, keys, BATCH)]


def commits(keys: int) -> list[tuple[bytes, int]]:
    """BATCH times SET … IFEQ … GET PXAT; each puts the value that is there, and so succeeds for ever."""
    expire = b"%d" % (int(time.time() * 1000) + 3_600_000)
    size = BATCH * (len(b"$%d\r\n" % len(VALUE)) + len(VALUE) + 2)
    commands = [encode(b"SET", key(i), VALUE, b"IFEQ", VALUE, b"GET", b"PXAT", expire) for i in range(keys)]
    return [(b"".join(commands[i : i + BATCH]), size) for i in range(0, keys, BATCH)]


def pair_changes(keys: int, *, timed: bool) -> list[tuple[bytes, int]]:
    """BATCH times the Function that changes a flow of two keys, as the engine sends it, over `keys` of `fill_pairs`.

    `timed`: with timer and counter. Each puts the value that is there, and so succeeds for ever.
    """
    value, expire = PAIR_RECORD, b"%d" % LATEST
    rest = (b"same", value, value, expire, b"1")
    commands = []
    for i in range(0, keys, 2):
        names = (key(PAIR_KEYS + i), key(PAIR_KEYS + i + 1))
        if timed:
            services = (key(0)[:8] + kind + b"flows" for kind in (b"t", b"e", b"c"))
            words = (b"FCALL", b"snf_flow_put", b"5", *services, *names, *rest, b"%08d" % i, b"server-1")
        else:
            words = (b"FCALL", b"snf_pair_put", b"2", *names, *rest)
        commands.append(encode(*words))
    return [(b"".join(commands[i : i + BATCH]), BATCH * len(b"*1\r\n:1\r\n")) for i in range(0, len(commands), BATCH)]


def fill_pairs(client: RawClient, keys: int) -> None:
    """Give `keys` keys of pairs a record that lives long."""
    for i in range(0, keys, BATCH):
        client.call(b"MSET", *(word for j in range(i, i + BATCH) for word in (key(PAIR_KEYS + j), PAIR_RECORD)))


def pairs(first: int, count: int) -> list[tuple[bytes, int]]:
    """Creations of `count` flows of two keys that nobody has: MSETEX 2 … NX PXAT. They live for a second."""
    expire = b"%d" % (int(time.time() * 1000) + 1000)
    keys = (PAIR_KEYS * 2 + 2 * number for number in range(first, first + count))
    words = ((key(one), PAIR_VALUE, key(one + 1), PAIR_VALUE) for one in keys)
    commands = [encode(b"MSETEX", b"2", *pair, b"NX", b"PXAT", expire) for pair in words]
    return [(b"".join(commands[i : i + BATCH]), BATCH * len(b":1\r\n")) for i in range(0, count, BATCH)]


def fill(client: RawClient, keys: int) -> None:
    """Give every key its value."""
    for i in range(0, keys, BATCH):
        words = [word for j in range(i, i + BATCH) for word in (key(j), VALUE)]
        client.call(b"MSET", *words)
