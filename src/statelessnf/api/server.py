"""The API's server, in the orchestrator's event loop: leaves signals alone, ends when its task is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import uvicorn
from fastapi import FastAPI

from statelessnf.errors import ConfigError, OrchestratorError

GRACE = 2  # seconds for requests under way when the server ends
MOST_CONNECTIONS = 256  # at a time; further ones are answered 503
BACKLOG = 128


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the orchestrator's."""
        yield


class Certificate(NamedTuple):
    """Files in PEM format."""

    chain: Path
    key: Path


async def serve(
    app: FastAPI, where: str | socket.socket, ready: Callable[[str], None], certificate: Certificate | None = None
) -> None:
    """Until cancelled: serves `app` (see make_app) on ADDRESS:PORT or [ADDRESS]:PORT, or what `listening` has given.

    `ready` is called once, with the address as http://… or, with a certificate, https://…, when connections are
    accepted. What is under way when it is cancelled gets a moment to end. Raises OrchestratorError where it cannot
    listen, ConfigError for a certificate that cannot be used.
    """
    with closing(listening(where) if isinstance(where, str) else where) as listener:
        server = _Server(_options(app, certificate))
        task = asyncio.create_task(server.serve([listener]), name="api")
        ready(_address(listener, "http" if certificate is None else "https"))
        try:
            await asyncio.shield(task)
        finally:
            app.state.ending.set()
            server.should_exit = True
            while not task.done():
                with suppress(asyncio.CancelledError):  # a second one: it ends within GRACE, and nothing may be left
                    await asyncio.wait({task})


def _options(app: FastAPI, certificate: Certificate | None) -> uvicorn.Config:
    options = uvicorn.Config(
        app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False, proxy_headers=False,
        server_header=False, limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=GRACE,
    )  # fmt: skip
    if certificate is not None:
        options.ssl_certfile, options.ssl_keyfile = certificate.chain, str(certificate.key)
    try:
        options.load()
    except OSError as error:  # ssl.SSLError is one
        where = str(certificate.chain if certificate is not None else "")
        what = f"the certificate cannot be used: {error.strerror or error}"
        raise ConfigError(what, where, "give a chain and its key in PEM format") from error
    return options


def listening(endpoint: str) -> socket.socket:
    """On ADDRESS:PORT or [ADDRESS]:PORT, port 0: any; connections wait. Raises OrchestratorError."""
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
        do = "end what listens there, or choose another address"
        raise OrchestratorError(f"the API cannot listen: {error.strerror}", endpoint, do) from error
    return listener


def _address(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
