"""`snf agent`: the service in the foreground, until SIGTERM or Ctrl-C; instances run on."""

from __future__ import annotations

import asyncio
import signal
import sys
from ipaddress import ip_address
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from statelessnf.api.server import Certificate, serve
from statelessnf.errors import ConfigError
from statelessnf.orchestrator.agent import Desks, make_app
from statelessnf.orchestrator.drivers.driver import Driver
from statelessnf.orchestrator.drivers.process import ProcessDriver
from statelessnf.orchestrator.drivers.wire import Kind
from statelessnf.orchestrator.section import Endpoint
from statelessnf.orchestrator.tokens import read_token

_ENDPOINT: TypeAdapter[str] = TypeAdapter(Endpoint)


def agent(listen: str, token_file: Path, certificate: Path | None, key: Path | None) -> None:
    """Raises SnfError if it cannot start."""
    token, tls = read_token(token_file), _certificate(certificate, key)
    _check(listen, tls)
    asyncio.run(_run(listen, token, tls))


async def _run(listen: str, token: str, tls: Certificate | None) -> None:
    desks, loop = Desks(_make), asyncio.get_running_loop()
    serving = asyncio.ensure_future(serve(make_app(token, desks), listen, _say, tls))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    try:
        await asyncio.wait({serving})
        if not serving.cancelled():
            serving.result()
    finally:
        await desks.close()


def _make(kind: Kind, image: str) -> Driver:
    if kind == "process":
        return ProcessDriver()
    from statelessnf.orchestrator.drivers.docker import DockerDriver  # here, as it takes a while

    return DockerDriver(image)


def _certificate(certificate: Path | None, key: Path | None) -> Certificate | None:
    if (certificate is None) != (key is None):
        raise ConfigError("TLS wants both a certificate and its key", "snf agent", "give --certificate and --key")
    return None if certificate is None or key is None else Certificate(certificate, key)


def _check(listen: str, tls: Certificate | None) -> None:
    try:
        _ENDPOINT.validate_python(listen)
    except ValidationError as error:
        raise ConfigError("this is no address and port", listen, "write it as 127.0.0.1:8471") from error
    if tls is None and not ip_address(listen.rpartition(":")[0].strip("[]")).is_loopback:
        what = "without TLS the token would cross the network in the clear"
        raise ConfigError(what, listen, "give --certificate and --key, or listen on 127.0.0.1")


def _say(address: str) -> None:
    print(f"snf agent: listens on {address}", file=sys.stderr, flush=True)
