"""An agent on a free port of the loopback."""

from __future__ import annotations

from collections.abc import Callable

from running_app import TOKEN, RunningApp
from statelessnf.api.server import Certificate, serve
from statelessnf.orchestrator.agent import Desks, make_app
from statelessnf.orchestrator.drivers.driver import Driver


class RunningAgent(RunningApp):
    """`make`: its drivers; `endpoint`: where it listens."""

    def __init__(
        self, make: Callable[[], Driver], endpoint: str = "127.0.0.1:0", certificate: Certificate | None = None
    ) -> None:
        super().__init__()
        self._make, self._endpoint, self._certificate = make, endpoint, certificate

    async def serve(self, ready: Callable[[str], None]) -> None:
        """See `RunningApp`."""
        desks = Desks(lambda kind, image: self._make())
        try:
            await serve(make_app(TOKEN, desks), self._endpoint, ready, self._certificate)
        finally:
            await desks.close()
