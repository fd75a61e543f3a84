"""Scripts that run on the real store and on the simulated one, for tests that hold one against the other.

A script is a list of (client, command). After each command every client of the real server asks for its own name, so
that all pushes caused by the command have come when the answer has (CLIENT commands leave CACHING YES alone).
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hypothesis import strategies as st

from statelessnf.store.client import StoreClient
from statelessnf.store.embedded import embedded_store
from statelessnf.store.library import ensure_library
from statelessnf.store.simulated import SimulatedServer
from statelessnf.store.simulated_link import Link, encode_command
from statelessnf.store.url import unix_url

CLIENTS = 3
FENCE = b"$5\r\nfence\r\n"
HANDSHAKE = (("HELLO", "3"), ("CLIENT", "SETNAME", "fence"), ("CLIENT", "TRACKING", "ON", "OPTIN", "NOLOOP"))
CACHING = ("CLIENT", "CACHING", "YES")
PAST, FUTURE = "1000", "99999999999999"
Words = tuple[str | bytes, ...]
Script = list[tuple[int, Words]]


class RealClient:
    """A connection to the real server, blocking."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        self.socket.connect(str(path))
        self.buffer = b""

    def send(self, *words: str | bytes) -> None:
        self.socket.sendall(encode_command(*words))

    def until_fence(self) -> bytes:
        """What came before the answer to CLIENT GETNAME."""
        self.send("CLIENT", "GETNAME")
        while FENCE not in self.buffer:
            data = self.socket.recv(65536)
            assert data, "the server closed the connection"
            self.buffer += data
        before, self.buffer = self.buffer.split(FENCE, 1)
        return before


@contextmanager
def real_store(folder: Path) -> Iterator[Path]:
    """A server with our library; its socket."""
    with embedded_store(folder, 64) as store:
        with StoreClient(unix_url(str(store.socket_path))) as client:
            ensure_library(client)
        yield store.socket_path


@contextmanager
def real_clients(path: Path) -> Iterator[list[RealClient]]:
    with ExitStack() as stack:
        clients = [RealClient(path) for _ in range(CLIENTS)]
        for client in clients:
            stack.callback(client.socket.close)
        clients[0].send("FLUSHALL")
        for client in clients:
            for words in HANDSHAKE:
                client.send(*words)
        for client in clients:
            client.until_fence()
        yield clients


def simulated_clients(server: SimulatedServer) -> list[Link]:
    links = [server.connect() for _ in range(CLIENTS)]
    for link in links:
        for words in HANDSHAKE:
            link.send(encode_command(*words))
            assert server.step(link)
        link.receive()
    return links


def run_real(path: Path, script: Script) -> list[list[bytes]]:
    """For each command: what each client received."""
    with real_clients(path) as clients:
        received = []
        for who, words in script:
            clients[who].send(*words)
            first = clients[who].until_fence()
            received.append([first if client is clients[who] else client.until_fence() for client in clients])
        return received


def run_simulated(script: Script, server: SimulatedServer | None = None) -> list[list[bytes]]:
    server = server or SimulatedServer(now_us=time.time_ns() // 1000)
    links = simulated_clients(server)
    received = []
    for who, words in script:
        links[who].send(encode_command(*words))
        assert server.step(links[who])
        received.append([link.receive() for link in links])
    return received


keys = st.sampled_from(["a", "b", "c"])
values = st.sampled_from(["", "1", "2", "x\r\ny"])
records = st.tuples(st.integers(1, 2), st.sampled_from([5, 10, int(FUTURE), (1 << 53) + 1, 1 << 63])).map(
    lambda parts: struct.pack("<BQQ", 1, *parts)
)
deadlines = st.one_of(st.just(()), st.tuples(st.just("PXAT"), st.sampled_from([PAST, FUTURE])))
reads = st.lists(keys, min_size=1, max_size=4).map(lambda names: ("MGET", *names))
others = st.one_of(
    keys.map(lambda key: ("GET", key)),
    st.lists(keys, min_size=1, max_size=3).map(lambda names: ("DEL", *names)),
    st.sampled_from([("PING",), ("FLUSHALL",), ("NONSENSE", "x"), ("SET", "a"), ("SET", "a", "b", "WHAT"), ("MGET",)]),
)
msetexes = st.tuples(
    st.lists(st.tuples(keys, values | records), min_size=1, max_size=3),
    st.sampled_from([(), ("NX",), ("NX", "NX")]),
    deadlines,
).map(lambda parts: ("MSETEX", str(len(parts[0])), *(word for pair in parts[0] for word in pair), *parts[1], *parts[2]))
