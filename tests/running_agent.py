"""An agent on a free port of the loopback, in a thread with a loop of its own, always taken down."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from statelessnf.api.server import Certificate, serve
from statelessnf.orchestrator.agent import Desks, make_app
from statelessnf.orchestrator.drivers.driver import Driver

TOKEN = "a-token-for-tests-only"
PATIENCE = 10.0


class RunningAgent:
    """`make`: its drivers; `endpoint`: where it listens."""

    def __init__(
        self, make: Callable[[], Driver], endpoint: str = "127.0.0.1:0", certificate: Certificate | None = None
    ) -> None:
        self._make, self._endpoint, self._certificate = make, endpoint, certificate
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready: Future[str] = Future()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> RunningAgent:
        self._thread.start()
        self.url = self._ready.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner, suppress(asyncio.CancelledError):
            runner.run(self._serve())

    async def _serve(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        desks = Desks(lambda kind, image: self._make())
        try:
            await serve(make_app(TOKEN, desks), self._endpoint, self._ready.set_result, self._certificate)
        finally:
            await desks.close()
