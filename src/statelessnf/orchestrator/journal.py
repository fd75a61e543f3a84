"""What has to reach the store, in order: written in the background, tried again until it is there.

A later change of the same thing takes the place of an earlier one that is not written yet, so a store that is away for
a while is owed little. Whoever must not go on before a change is safe awaits `written`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from statelessnf.errors import NotLeader, StoreError
from statelessnf.orchestrator.events import Events
from statelessnf.orchestrator.state import Entry, Kept, State

AGAIN = 0.5  # seconds until the next try
LINGER = 0.02  # seconds in which changes gather


class Journal:
    """`store`: the one thread that speaks to the store. `problem`: why it cannot be written just now, or ""."""

    def __init__(self, state: State, store: Executor, events: Events) -> None:
        self._state, self._store, self._events = state, store, events
        self._owed: dict[str, Callable[[], None]] = {}
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self.problem = ""

    def keep(self, kept: Kept) -> None:
        """The deployment as it is now."""
        self._owe("deployment", lambda: self._state.keep(kept))

    def put(self, entry: Entry) -> None:
        """An instance as it is now."""
        self._owe(f"instance {entry.name}", lambda: self._state.put(entry))

    def remove(self, name: str) -> None:
        """An instance is forgotten."""
        self._owe(f"instance {name}", lambda: self._state.remove(name))

    def _owe(self, what: str, write: Callable[[], None]) -> None:
        self._owed.pop(what, None)
        self._owed[what] = write
        self._wake.set()

    async def written(self) -> None:
        """Writes all that is owed now. Raises StoreError and NotLeader; then it is still owed."""
        async with self._writing:
            loop = asyncio.get_running_loop()
            for what, write in list(self._owed.items()):
                await loop.run_in_executor(self._store, write)
                if self._owed.get(what) is write:
                    del self._owed[what]

    async def flush(self) -> None:
        """All that is owed and all events. Raises StoreError and NotLeader."""
        await self.written()
        await self._write_events()

    async def run(self) -> None:
        """Writes what comes, events too, until it is cancelled or another orchestrator leads (NotLeader)."""
        while True:
            await self._wake_or_events()
            try:
                await self.flush()
                self.problem = ""
            except NotLeader:
                raise
            except StoreError as error:
                self.problem = error.line()
                await asyncio.sleep(AGAIN)

    async def _wake_or_events(self) -> None:
        if not self._owed:
            self._wake.clear()
            try:
                async with asyncio.timeout(AGAIN):
                    await self._wake.wait()
            except TimeoutError:
                return
        await asyncio.sleep(LINGER)

    async def _write_events(self) -> None:
        events = self._events.take_unwritten()
        if not events:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(self._store, self._state.append, events)
        except StoreError:
            self._events.put_back(events)
            raise
