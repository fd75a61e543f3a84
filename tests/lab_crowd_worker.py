"""`python lab_crowd_worker.py ADDRESS PORT`: clients that open connections, talk now and then, and watch their servers.

All connections say a line each, one round after the other, and get the name of their server back. One that gets
another name than before has moved, one that ends is broken, one without an answer for PATIENCE seconds is silent.
Commands on standard input, a line of JSON for each on standard output:

    grow N    so many more connections, each with its first answer: {server: connections}
    look      after a round that began behind the command: {"guests": , "moved": , "broken": , "silent": }
"""

import asyncio
import json
import socket
import sys
from collections import Counter
from contextlib import suppress

from lab_name_server import allow_descriptors

OPENING = 200  # connections at a time
SPEAKING = 500  # lines under way
PATIENCE = 10.0  # seconds: TCP has sent five times by then
PAUSE = 1.0  # seconds between two rounds
MOST = 12_000


class Guest(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.server = ""
        self.moved = self.broken = False
        self.waiting: set[Guest] | None = None  # those who wait for answers with this one
        self.last: asyncio.Event | None = None  # set when none of them is left
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._tail = (self._tail + data).split(b"\n")
        for line in map(bytes.decode, lines):
            self.moved |= self.server not in ("", line)
            self.server = line
            self._done()

    def connection_lost(self, error: Exception | None) -> None:
        self.broken = True
        self._done()

    def _done(self) -> None:
        if self.waiting is not None and self.last is not None:
            self.waiting.discard(self)
            if not self.waiting:
                self.last.set()


async def speak(guests: list[Guest]) -> int:
    """All say a line; how many get no answer in time."""
    waiting, last = {guest for guest in guests if not guest.broken}, asyncio.Event()
    for guest in tuple(waiting):
        guest.waiting, guest.last = waiting, last
        guest.transport.write(b"?\n")
    with suppress(TimeoutError):
        await asyncio.wait_for(last.wait(), PATIENCE if waiting else 0)
    return len(waiting)


class Crowd:
    """All connections of this process."""

    def __init__(self, address: str, port: int) -> None:
        self._to = (address, port)
        self._guests: list[Guest] = []
        self._silent = 0
        self._round = asyncio.Condition()
        self._begun = self._ended = 0  # rounds

    async def talk(self) -> None:
        """Round after round, until cancelled."""
        while True:
            self._begun += 1
            for start in range(0, len(self._guests), SPEAKING):
                self._silent += await speak(self._guests[start : start + SPEAKING])
            self._ended = self._begun
            async with self._round:
                self._round.notify_all()
            await asyncio.sleep(PAUSE)

    async def grow(self, count: int) -> dict[str, int]:
        """See the top of this file."""
        servers: Counter[str] = Counter()
        while count > 0:
            batch = await asyncio.gather(*(self._open() for _ in range(min(count, OPENING))))
            self._silent += await speak(batch)
            self._guests += batch
            servers.update(guest.server for guest in batch)
            count -= len(batch)
        return servers

    async def _open(self) -> Guest:
        """A connection that is refused, or not answered, is a broken one."""
        guest, endpoint = Guest(), socket.socket()
        endpoint.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE):
                await loop.sock_connect(endpoint, self._to)
            await loop.create_connection(lambda: guest, sock=endpoint)
        except OSError:
            endpoint.close()
            guest.connection_lost(None)
        return guest

    async def look(self) -> dict[str, int]:
        """See the top of this file."""
        wanted = self._begun + 1
        async with self._round:
            await self._round.wait_for(lambda: self._ended >= wanted)
        moved, broken = (sum(getattr(guest, what) for guest in self._guests) for what in ("moved", "broken"))
        return {"guests": len(self._guests), "moved": moved, "broken": broken, "silent": self._silent}


async def obey(address: str, port: int) -> None:
    """Carry out commands until standard input ends."""
    crowd, reader = Crowd(address, port), asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    talking = asyncio.create_task(crowd.talk())
    while command := (await reader.readline()).split():
        answer = await (crowd.grow(int(command[1])) if command[0] == b"grow" else crowd.look())
        print(json.dumps(answer), flush=True)
    talking.cancel()


if __name__ == "__main__":
    allow_descriptors(MOST)
    asyncio.run(obey(sys.argv[1], int(sys.argv[2])))
