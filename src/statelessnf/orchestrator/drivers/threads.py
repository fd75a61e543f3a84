"""Blocking work in a thread that is never forgotten half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

from statelessnf.errors import SnfError

Result = TypeVar("Result")


async def whole(work: Callable[[], Result], undo: Callable[[Result], object]) -> Result:
    """`work` in a thread. If the task is cancelled, what `work` makes is undone, also in a thread, before it ends."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        with suppress(SnfError):  # nothing was made
            await asyncio.to_thread(undo, await running)
        raise


class Tasks:
    """Work in the background: held until it is done, cancelled by `close`. What fails by a SnfError is left at that."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[object, object, None]) -> None:
        """From now on."""
        task = asyncio.create_task(_suppressed(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Returns when all have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _suppressed(work: Coroutine[object, object, None]) -> None:
    with suppress(SnfError):
        await work
