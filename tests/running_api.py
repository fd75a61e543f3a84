"""The API of a deployment that is only told of, on a free port of the loopback."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from fake_face import FakeFace, FakeRecords
from running_app import PATIENCE, TOKEN, RunningApp
from statelessnf.api.app import make_app
from statelessnf.api.server import serve


class RunningApi(RunningApp):
    """`face` and `records` are what is served; what wakes somebody up in it has to be done in the server's loop."""

    def __init__(self) -> None:
        super().__init__()
        self.face, self.records = FakeFace(), FakeRecords()
        self._app = make_app(self.face, TOKEN, self.records)

    async def serve(self, ready: Callable[[str], None]) -> None:
        """See `RunningApp`."""
        await serve(self._app, "127.0.0.1:0", ready)

    def renew(self) -> None:
        """As if just started."""
        self.face, self.records = FakeFace(), FakeRecords()
        self._app.state.face, self._app.state.records = self.face, self.records

    def serve_records(self, records: FakeRecords | None) -> None:
        """None: there is no store."""
        self._app.state.records = records

    def client(self, token: str = TOKEN) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, verify=False, timeout=PATIENCE)

    def tell(self, kind: str, name: str, text: str) -> None:
        """An event, told in the server's loop."""
        self.loop.call_soon_threadsafe(self.face.tell, kind, name, text)
