"""`python lab_name_server.py ADDRESS PORT NAME` answers each line of each connection with NAME.

A process of its own, since one may not have descriptors for both ends of 10,000 connections. Prints a line when it
listens, and ends by SIGTERM.
"""

import asyncio
import resource
import socket
import sys


def allow_descriptors(count: int) -> None:
    """Let this process have as many open files. Raises ValueError where the hard limit is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


class Host(asyncio.Protocol):
    """One connection."""

    def __init__(self, name: str) -> None:
        self._name = f"{name}\n".encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._name * data.count(b"\n"))


async def serve(address: str, port: int, name: str) -> None:
    listener = socket.create_server((address, port), backlog=4096)
    server = await asyncio.get_running_loop().create_server(lambda: Host(name), sock=listener)
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    allow_descriptors(11_000)
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
