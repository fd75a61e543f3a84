"""An app on a real socket, in a thread with an event loop of its own, always taken down."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Self

TOKEN = "a-token-for-tests-only"
PATIENCE = 60.0


class RunningApp(ABC):
    """`url`: where it listens, within the `with` block."""

    def __init__(self) -> None:
        self.url = ""
        self.loop = asyncio.new_event_loop()
        self._ready: Future[str] = Future()
        self._thread = threading.Thread(target=self._run)

    @abstractmethod
    async def serve(self, ready: Callable[[str], None]) -> None:
        """Until it is cancelled; `ready` is to be called with the address."""

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = self._ready.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner, suppress(asyncio.CancelledError):
            runner.run(self._begin())

    async def _begin(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        await self.serve(self._ready.set_result)
