"""Health checks: rise and fall as a state machine, and probes of servers on the loopback, good and bad ones."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from statelessnf.functions.health_check import HealthCheck
from statelessnf.health import Health, after
from statelessnf.probes import LINE_LIMIT, Probe, probe

pytestmark = pytest.mark.beside

HERE = ip_address("127.0.0.1")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def check_of(**fields: Any) -> HealthCheck:
    return HealthCheck.model_validate({"kind": "http", "timeout_ms": 500, **fields})


@pytest.mark.parametrize(
    ("results", "states"),
    [
        ("+", "u"),
        ("-", "d"),
        ("+--", "uuu"),
        ("+---", "uuud"),
        ("+--+--+---", "uuuuuuuuud"),
        ("-+", "dd"),
        ("-++", "ddu"),
        ("-+-+-++", "ddddddu"),
        ("+---+-++", "uuudddd" + "u"),
    ],
)
def test_rise_and_fall(results: str, states: str) -> None:
    check, health, seen = check_of(rise=2, fall=3), Health(), ""
    assert health.up
    for result in results:
        health = after(health, result == "+", check)
        seen += "u" if health.up else "d"
    assert seen == states


@given(st.lists(st.booleans(), min_size=1), st.integers(1, 5), st.integers(1, 5))
def test_it_turns_only_after_as_many_in_a_row(results: list[bool], rise: int, fall: int) -> None:
    check, health = check_of(rise=rise, fall=fall), Health()
    for i, passed in enumerate(results):
        before, health = health, after(health, passed, check)
        needed = rise if passed else fall
        row = results[max(0, i + 1 - needed) : i + 1]
        turns = before.up != passed and (i == 0 or (len(row) == needed and set(row) == {passed}))
        assert health.up == (passed if turns else before.up)


async def _probed(handler: Handler, check: HealthCheck, own_port: bool = False) -> Probe:
    """One probe of a server that lasts until its handler is done; `own_port`: the check names the port."""
    done = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):  # how a probe ends
            await handler(reader, writer)
        writer.close()
        done.set()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        check = check.model_copy(update={"port": port}) if own_port else check
        result = await probe(check, HERE, 9 if own_port else port)
        await done.wait()
    return result


def saying(answer: bytes, asked: list[bytes] | None = None) -> Handler:
    """A server that reads a request, writes `answer` and closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.append(request)
        writer.write(answer)

    return handle


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads for ever."""
    while await reader.read(100):
        pass


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never ends its line."""
    while not writer.is_closing():
        writer.write(b"A" * 4096)
        await writer.drain()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(
    ("answer", "status", "passed", "finding"),
    [
        (OK, [200], True, "status 200"),
        (b"HTTP/1.0 204\r\n\r\n", [200, 204], True, "status 204"),
        (b"HTTP/1.1 200 \n\n", [200], True, "status 200"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", [200], False, "status 404"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", [503], True, "status 503"),
        (b"", [200], False, "closed the connection"),
        (b"HTTP/1.1 200 OK", [200], False, "no HTTP: b'HTTP/1.1 200 OK'"),
        (b"SSH-2.0-OpenSSH\r\n", [200], False, "no HTTP: b'SSH-2.0"),
        (b"HTTP/1.1 2000 OK\r\n", [200], False, "no HTTP"),
        (b"HTTP/1.1  200 OK\r\n", [200], False, "no HTTP"),
        (b"HTTP/2 200\r\n", [200], False, "no HTTP"),
        (b"\xff\x00\r\n", [200], False, "no HTTP"),
        (b"A" * (LINE_LIMIT * 3), [200], False, "more than"),
    ],
)
def test_http(answer: bytes, status: list[int], passed: bool, finding: str) -> None:
    result = asyncio.run(_probed(saying(answer), check_of(status=status)))
    assert result.passed == passed
    assert finding in result.finding
    assert len(result.finding) < 100


def test_what_is_asked() -> None:
    asked: list[bytes] = []
    asyncio.run(_probed(saying(OK, asked), check_of(path="/health?full=1", host="shop.example")))
    lines = asked[0].split(b"\r\n")
    assert lines[0] == b"GET /health?full=1 HTTP/1.1"
    assert b"Host: shop.example" in lines
    assert b"Connection: close" in lines


@pytest.mark.parametrize("handler", [silent, endless])
def test_connecting_is_enough_for_tcp(handler: Handler) -> None:
    result = asyncio.run(_probed(handler, HealthCheck(kind="tcp")))
    assert (result.passed, result.finding.split()[0]) == (True, "connected")


@pytest.mark.parametrize(("handler", "finding"), [(silent, "within 100 ms"), (endless, "more than")])
def test_servers_that_never_end(handler: Handler, finding: str) -> None:
    result = asyncio.run(_probed(handler, check_of(timeout_ms=100)))
    assert not result.passed
    assert finding in result.finding


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        for check in (check_of(), HealthCheck(kind="tcp"), check_of(port=free.getsockname()[1])):
            result = asyncio.run(probe(check, HERE, free.getsockname()[1]))
            assert not result.passed
            assert "refused" in result.finding


def test_the_checks_own_port_goes_first() -> None:
    assert asyncio.run(_probed(saying(OK), check_of(), own_port=True)).passed


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"timeout_ms": 2000}, "timeout_ms = 2000 is not below interval_ms = 2000"),
        ({"path": "health"}, "write '/health'"),
        ({"path": "/a b"}, "%xx"),
        ({"path": "/\r\nX: y"}, "%xx"),
        ({"host": "a\nb"}, "%xx"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"kind": "tcp", "path": "/"}, "set kind = 'http'"),
        ({"kind": "ping"}, "'tcp' or 'http'"),
        ({"status": []}, "at least 1"),
        ({"status": [700]}, "599"),
        ({"rise": 0}, "greater than or equal to 1"),
    ],
)
def test_checks_that_cannot_work_are_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as error:
        check_of(**fields)
    assert says in str(error.value)
