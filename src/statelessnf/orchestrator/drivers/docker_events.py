"""Ends of containers as a Docker Engine tells them, for an event loop.

A thread listens. Whenever it has got through to the Engine (again) it says so, and the driver looks after all that it
watches: so what ended while nobody listened is found, too.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from urllib3.exceptions import HTTPError

from statelessnf.errors import DriverError
from statelessnf.orchestrator.drivers.docker_container import INSTANCE_LABEL
from statelessnf.orchestrator.drivers.docker_engine import FAULTS, Engine

AGAIN = 0.5  # seconds between two attempts to reach the Engine

Died = Callable[[str, int], None]  # container, exit code
Reached = Callable[[bool], None]


class Events:
    """Calls `died` and `reached` within the loop, from `open` to `close`."""

    def __init__(self, engine: Engine, died: Died, reached: Reached) -> None:
        self._engine, self._died, self._reached = engine, died, reached
        self._loop = asyncio.get_running_loop()
        self._closing = threading.Event()
        self._stream: Any = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen, name="docker-events")
        self._thread.start()

    async def close(self) -> None:
        """Returns when the thread has ended."""
        self._closing.set()
        await asyncio.to_thread(self._hang_up)
        await asyncio.to_thread(self._thread.join)

    def _hang_up(self) -> None:
        with self._lock, suppress(*FAULTS):
            if self._stream is not None:
                self._stream.close()

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                client = self._engine.client()
                try:
                    self._follow(client)
                finally:
                    client.close()
            except (DriverError, HTTPError, *FAULTS) as error:
                if not is_timeout(error):
                    self._tell(self._reached, False)
                    self._closing.wait(AGAIN)

    def _follow(self, client: Any) -> None:
        filters = {"type": "container", "event": "die", "label": INSTANCE_LABEL}
        stream = client.events(filters=filters, decode=True)
        with self._lock:
            self._stream = stream
        try:
            self._pass_on(stream)
        finally:
            stream._response.close()  # the SDK's own close leaves the socket to the garbage collector

    def _pass_on(self, stream: Any) -> None:
        if self._closing.is_set():
            return
        self._tell(self._reached, True)
        for event in stream:
            self._tell(self._died, event["Actor"]["ID"], int(event["Actor"]["Attributes"]["exitCode"]))

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        if not self._closing.is_set():
            self._loop.call_soon_threadsafe(what, *arguments)


def is_timeout(error: BaseException) -> bool:
    """Nothing has happened for so long that the connection is made anew, in case it is dead."""
    return "timed out" in str(error).lower()
