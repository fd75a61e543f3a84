"""Running tasks beside each other until the first of some ends; then all are cancelled and waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any


async def run_until_first(
    ends: Mapping[str, Coroutine[Any, Any, object]], services: Mapping[str, Coroutine[Any, Any, object]]
) -> str:
    """The name of the first of `ends` to return. Services run meanwhile; one that returns is simply done.

    Raises what the first of all of them to fail has raised.
    """
    tasks = {name: asyncio.create_task(work, name=name) for name, work in {**services, **ends}.items()}
    waiting = set(tasks.values())
    try:
        while True:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            ended = [name for name in ends if tasks[name] in done]
            if ended:
                return ended[0]
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
