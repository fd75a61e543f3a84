"""Established connections with a steady load, and what comes back of it.

    python -m statelessnf.bench.steady_flows serve ADDRESS PORT
    python -m statelessnf.bench.steady_flows ask ADDRESS PORT CONNECTIONS

`serve` prints a line when it listens, and sends back what it gets. `ask`: each connection sends MESSAGE bytes
PER_SECOND times, whatever has come back; what could not be sent then is made up for, as far as it fits into BEHIND
bytes. For each line on standard input there is a line of JSON: `connected`, `received` bytes and connections `broken`
so far, and the `time` (s, monotonic).
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time

MESSAGE = b"m" * 1000
PER_SECOND = 50
BEHIND = 50_000  # bytes of a connection that wait to be sent: a second's
TICK = 0.01  # seconds between two looks at what is due


class Echo(asyncio.Protocol):
    """The server's side of a connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class Flow(asyncio.Protocol):
    """The client's side of a connection."""

    def __init__(self) -> None:
        self.received = 0
        self.broken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += len(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.broken = True

    def offer(self, messages: int) -> None:
        """So many messages more."""
        if not self.broken and self._transport.get_write_buffer_size() < BEHIND:
            self._transport.write(MESSAGE * messages)


async def serve(address: str, port: int) -> None:
    """Until the process is ended."""
    listener = socket.create_server((address, port))
    server = await asyncio.get_running_loop().create_server(Echo, sock=listener)
    print("listening", flush=True)
    await server.serve_forever()


async def ask(address: str, port: int, connections: int) -> None:
    """Until standard input ends. Raises OSError if a connection is refused."""
    loop, reader, flows = asyncio.get_running_loop(), asyncio.StreamReader(), list[Flow]()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    for _ in range(connections):
        _, flow = await loop.create_connection(Flow, address, port)
        flows.append(flow)
    sending = asyncio.create_task(_send(flows))
    while await reader.readline():
        received, broken = sum(flow.received for flow in flows), sum(flow.broken for flow in flows)
        line = {"connected": len(flows), "received": received, "broken": broken, "time": time.monotonic()}
        print(json.dumps(line), flush=True)
    sending.cancel()


async def _send(flows: list[Flow]) -> None:
    began, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * PER_SECOND)
        if due > sent:
            for flow in flows:
                flow.offer(min(due - sent, PER_SECOND))
            sent = due
        await asyncio.sleep(TICK)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve(sys.argv[2], int(sys.argv[3])))
    else:
        asyncio.run(ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
