"""A proxy in front of a store that does harm by order of the test: delay, stall, truncate, cut, refuse.

It listens on a Unix socket and forwards to a Unix socket or a TCP address, in a thread of its own. Orders take effect
before they return. Bytes are never changed or re-ordered: what arrives is always a prefix of what was sent.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import TypeVar

Upstream = Path | tuple[str, int]
Result = TypeVar("Result")


class FaultProxy:
    """Context manager; clients connect to `path`. `connections` counts those that were accepted and forwarded."""

    def __init__(self, upstream: Upstream, path: Path) -> None:
        self.upstream = upstream
        self.path = path
        self.connections = 0
        self._delay = 0.0
        self._refusing = False
        self._left: int | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        self._server = self._run(asyncio.start_unix_server(self._serve, str(self.path)))
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def delay(self, seconds: float) -> None:
        """Hold every piece back for so long, in both directions; 0: no longer."""

        def order() -> None:
            self._delay = seconds

        self._order(order)

    def stall(self) -> None:
        """Forward nothing, and keep the connections: what a half-open connection looks like."""
        self._order(self._flowing.clear)

    def resume(self) -> None:
        """Forward again, first of all what was held back."""
        self._order(self._flowing.set)

    def cut(self) -> None:
        """Break all connections; new ones are possible."""
        self._order(self._cut)

    def truncate(self, count: int) -> None:
        """Let `count` more bytes of replies through, of all connections together, then break them: once."""

        def order() -> None:
            self._left = count

        self._order(order)

    def refuse(self, refusing: bool = True) -> None:
        """Hang up on everybody who connects, until told otherwise."""

        def order() -> None:
            self._refusing = refusing

        self._order(order)

    def heal(self) -> None:
        """No harm from now on, none that was ordered and has not come yet either."""

        def order() -> None:
            self._delay, self._refusing, self._left = 0.0, False, None
            self._flowing.set()

        self._order(order)

    def _order(self, action: Callable[[], None]) -> None:
        async def act() -> None:
            action()

        self._run(act())

    def _run(self, work: Coroutine[None, None, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _close(self) -> None:
        self._server.close()
        self._flowing.set()
        self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close in the loop's next round

    def _cut(self) -> None:
        self._left = None
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            if not self._refusing:
                await self._forward(reader, writer)
        except OSError:
            pass  # the store cannot be reached, or an end broke: that is what the other end is to see
        finally:
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        store_reader, store_writer = await self._connect()
        self.connections += 1
        ends = {writer, store_writer}
        self._writers |= ends
        requests = self._pump(reader, store_writer, lambda data: data)
        replies = self._pump(store_reader, writer, self._shortened)
        try:
            await _first_of(requests, replies)
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.upstream, Path):
            return await asyncio.open_unix_connection(str(self.upstream))
        return await asyncio.open_connection(*self.upstream)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, shorten: Callable[[bytes], bytes]
    ) -> None:
        while data := await reader.read(65536):
            await asyncio.sleep(self._delay)
            await self._flowing.wait()
            writer.write(shorten(data))
            await writer.drain()
            if self._left == 0:
                self._cut()

    def _shortened(self, data: bytes) -> bytes:
        if self._left is None:
            return data
        data = data[: self._left]
        self._left -= len(data)
        return data


async def _first_of(*work: Awaitable[None]) -> None:
    """Until one of them ends; the others are cancelled."""
    tasks = [asyncio.ensure_future(part) for part in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
