"""One health check of one server, on asyncio: connects, or asks for a page, and says what came of it.

Never raises for what the network or a server does, hostile or not: a probe ends within the check's time-out, reads a
status line of LINE_LIMIT bytes at most, ignores the rest, and closes its connection with a reset so that neither side
keeps it.
"""

from __future__ import annotations

import asyncio
import os
import re
from typing import NamedTuple

from statelessnf.functions.health_check import HealthCheck
from statelessnf.owned import Address

LINE_LIMIT = 1024  # bytes of a status line (RFC 9112 §4)


class Probe(NamedTuple):
    """The result of one check; `finding` is a line for the operator."""

    passed: bool
    finding: str


async def probe(check: HealthCheck, address: Address, port: int) -> Probe:
    """Run `check` once against a server; `check.port` goes before `port`."""
    target = check.port or port
    try:
        async with asyncio.timeout(check.timeout_ms / 1000):
            return await _ask(check, address, target)
    except TimeoutError:
        return Probe(False, f"no answer from port {target} within {check.timeout_ms} ms")
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        return Probe(False, f"port {target}: {why}")


async def _ask(check: HealthCheck, address: Address, port: int) -> Probe:
    reader, writer = await asyncio.open_connection(str(address), port, limit=LINE_LIMIT)
    try:
        if check.kind == "tcp":
            return Probe(True, f"connected to port {port}")
        writer.write(_request(check, address, port))
        return _judged(check, await reader.readuntil(b"\n"))
    except asyncio.IncompleteReadError as error:
        return Probe(False, "the server closed the connection" if not error.partial else _not_http(error.partial))
    except asyncio.LimitOverrunError:
        return Probe(False, f"the status line has more than {LINE_LIMIT} bytes")
    finally:
        writer.transport.abort()


def _request(check: HealthCheck, address: Address, port: int) -> bytes:
    """RFC 9112 §3."""
    name = f"[{address}]" if address.version == 6 else str(address)
    host = check.host or (name if port == 80 else f"{name}:{port}")
    lines = [f"GET {check.path} HTTP/1.1", f"Host: {host}", "User-Agent: statelessnf", "Accept: */*"]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def _judged(check: HealthCheck, line: bytes) -> Probe:
    found = re.match(rb"HTTP/1\.[01] ([1-5]\d\d)(?: |\r?\n)", line)
    if found is None:
        return Probe(False, _not_http(line))
    return Probe(int(found[1]) in check.status, f"status {int(found[1])}")


def _not_http(data: bytes) -> str:
    return f"no HTTP: {data[:40]!r}"
