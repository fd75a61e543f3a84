"""Long-lived TCP connections on which a message goes there and back every now and then; and who answers them.

Order `{"own": [address, port]}`: answers whatever comes. `{"peer": [address, port], "connections": N, "every": S}`:
opens N connections, on each of which a message is sent every S seconds, and the next one not before the answer to the
last. Each further line, `{}`, is answered with `ports` (the clients' own, of those that live), `answered` messages,
`longest` wait for an answer in seconds since the line before, and `broken`: [port, what happened, s (monotonic)].
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

MESSAGE = 64  # bytes
PATIENCE = 30.0  # seconds for an answer


class Talks:
    """All connections of the clients."""

    def __init__(self) -> None:
        self.ports: set[int] = set()
        self.broken: list[tuple[int, str, float]] = []
        self.answered, self.longest = 0, 0.0

    async def talk(self, peer: tuple[str, int], every: float) -> None:
        """One connection, for as long as it lives."""
        reader, writer = await asyncio.open_connection(*peer)
        port: int = writer.get_extra_info("sockname")[1]
        self.ports.add(port)
        try:
            while True:
                began = time.monotonic()
                writer.write(self.answered.to_bytes(8, "big") * (MESSAGE // 8))
                async with asyncio.timeout(PATIENCE):
                    await reader.readexactly(MESSAGE)
                self.answered, self.longest = self.answered + 1, max(self.longest, time.monotonic() - began)
                await asyncio.sleep(max(0.0, began + every - time.monotonic()))
        except (OSError, EOFError) as error:
            self.broken.append((port, repr(error), time.monotonic()))
        finally:
            self.ports.discard(port)
            writer.close()

    def figures(self) -> dict[str, Any]:
        """The answer to a line."""
        longest, self.longest = self.longest, 0.0
        figures = {"answered": self.answered, "longest": longest, "broken": self.broken}
        return {"ports": sorted(self.ports), **figures}


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Whatever comes goes back."""
    try:
        while content := await reader.read(1 << 16):
            writer.write(content)
            await writer.drain()
    except OSError:
        pass  # the client says what became of it
    finally:
        writer.close()


async def run() -> None:
    """Until standard input ends."""
    lines, loop = asyncio.StreamReader(), asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    order, talks = json.loads(await lines.readline()), Talks()
    if "own" in order:
        await asyncio.start_server(echo, *order["own"])
    count = order.get("connections", 0)
    tasks = [asyncio.ensure_future(talks.talk(tuple(order["peer"]), order["every"])) for _ in range(count)]
    print("{}", flush=True)
    while await lines.readline():
        print(json.dumps(talks.figures()), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(run())
