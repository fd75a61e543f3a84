"""The API on a real socket: a free port of the loopback, in a thread with a loop of its own, always taken down."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress

import httpx

from fake_face import FakeFace, FakeRecords
from statelessnf.api.app import make_app
from statelessnf.api.server import serve

TOKEN = "a-token-for-tests-only"
PATIENCE = 10.0


class RunningApi:
    """`face` and `records` are what is served; what wakes somebody up in it has to be done in the server's loop."""

    def __init__(self) -> None:
        self.face, self.records = FakeFace(), FakeRecords()
        self._app = make_app(self.face, TOKEN, self.records)
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready: Future[str] = Future()
        self._thread = threading.Thread(target=self._run)

    def renew(self) -> None:
        """As if just started."""
        self.face, self.records = FakeFace(), FakeRecords()
        self._app.state.face, self._app.state.records = self.face, self.records

    def serve_records(self, records: FakeRecords | None) -> None:
        """None: there is no store."""
        self._app.state.records = records

    def __enter__(self) -> RunningApi:
        self._thread.start()
        self.url = self._ready.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def client(self, token: str = TOKEN) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, verify=False, timeout=PATIENCE)

    def tell(self, kind: str, name: str, text: str) -> None:
        """An event, told in the server's loop."""
        self._loop.call_soon_threadsafe(self.face.tell, kind, name, text)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner, suppress(asyncio.CancelledError):
            runner.run(self._serve())

    async def _serve(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        await serve(self._app, "127.0.0.1:0", self._ready.set_result)
