"""Health checks that are under way: many at once, on an event loop in a thread of its own.

So a store that is slow to answer does not make a server look slow, and the other way round.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from statelessnf.functions.health_check import HealthCheck
from statelessnf.owned import Address
from statelessnf.probes import Probe, probe

Run = Callable[[HealthCheck, Address, int], Awaitable[Probe]]
Tag = TypeVar("Tag")


class Prober(Generic[Tag]):
    """Runs checks; each comes back once, with the tag it was given, unless the prober is closed before. `run` ends in
    the time that the check allows it.
    """

    def __init__(self, run: Run | None = None) -> None:
        """`run`: by default `probes.probe`."""
        self._run = run or probe
        self._results: queue.SimpleQueue[tuple[Tag, Probe]] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(ready),), daemon=True)
        self._thread.start()
        ready.wait()

    def start(self, tag: Tag, check: HealthCheck, address: Address, port: int) -> None:
        """Begins a check."""
        self._loop.call_soon_threadsafe(self._begin, tag, check, address, port)

    def finished(self) -> list[tuple[Tag, Probe]]:
        """Those that have ended since the last call."""
        found = []
        while not self._results.empty():
            found.append(self._results.get())
        return found

    def close(self) -> None:
        """Gives up what is under way, at once."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self, ready: threading.Event) -> None:
        """Until `close`; asyncio.run then cancels the tasks."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        await self._stop.wait()

    def _begin(self, tag: Tag, check: HealthCheck, address: Address, port: int) -> None:
        task = self._loop.create_task(self._one(tag, check, address, port))
        self._tasks.add(task)  # the loop itself does not hold it
        task.add_done_callback(self._tasks.discard)

    async def _one(self, tag: Tag, check: HealthCheck, address: Address, port: int) -> None:
        self._results.put((tag, await self._run(check, address, port)))
