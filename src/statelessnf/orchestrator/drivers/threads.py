"""Blocking work in a thread that is never forgotten half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
