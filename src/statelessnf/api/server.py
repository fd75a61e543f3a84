"""The API's server, in the orchestrator's event loop: leaves signals alone, ends when its task is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from ipaddress import ip_address

import uvicorn
from fastapi import FastAPI

from statelessnf.errors import OrchestratorError

GRACE = 2  # seconds for requests under way when the server ends
MOST_CONNECTIONS = 256  # at a time; further ones are answered 503
BACKLOG = 128


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the orchestrator's."""
        yield


async def serve(app: FastAPI, endpoint: str, ready: Callable[[str], None]) -> None:
    """Until cancelled: serves `app` (see make_app) on ADDRESS:PORT or [ADDRESS]:PORT, port 0: any.

    `ready` is called once, with the address as http://…, when connections are accepted. What is under way when it is
    cancelled gets a moment to end. Raises OrchestratorError where it cannot listen.
    """
    with closing(_listening(endpoint)) as listener:
        options = uvicorn.Config(
            app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False, proxy_headers=False,
            server_header=False, limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=GRACE,
        )  # fmt: skip
        server = _Server(options)
        task = asyncio.create_task(server.serve([listener]), name="api")
        ready(_address(listener))
        try:
            await asyncio.shield(task)
        finally:
            app.state.ending.set()
            server.should_exit = True
            await asyncio.wait({task})


def _listening(endpoint: str) -> socket.socket:
    host, _, port = endpoint.rpartition(":")
    address = ip_address(host.strip("[]"))
    listener = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), int(port)))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        do = "end what listens there, or choose another address: orchestrator.api"
        raise OrchestratorError(f"the API cannot listen: {error.strerror}", endpoint, do) from error
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
