"""The API's server in somebody's event loop: where it listens, that it ends when cancelled, and that signals stay."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from fake_face import FakeFace, FakeRecords
from running_app import TOKEN
from statelessnf.api.app import make_app
from statelessnf.api.server import GRACE, serve
from statelessnf.errors import OrchestratorError

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def served(endpoint: str, visit: Callable[[str, asyncio.Task[None]], Coroutine[Any, Any, None]]) -> None:
    """`visit` is given the address and the server's task, which is cancelled behind it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[str] = loop.create_future()
        task = asyncio.create_task(serve(make_app(FakeFace(), TOKEN, FakeRecords()), endpoint, ready.set_result))
        try:
            async with asyncio.timeout(10):
                await visit(await ready, task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


@pytest.mark.parametrize(("endpoint", "begins"), [("127.0.0.1:0", "http://127.0.0.1:"), ("[::1]:0", "http://[::1]:")])
def test_listens_as_soon_as_it_says_so(endpoint: str, begins: str) -> None:
    async def visit(url: str, _task: asyncio.Task[None]) -> None:
        assert url.startswith(begins)
        async with httpx.AsyncClient(base_url=url, headers=HEADERS, trust_env=False) as client:
            assert (await client.get("/deployment")).status_code == 200

    served(endpoint, visit)


def test_signals_are_left_alone() -> None:
    async def visit(url: str, _task: asyncio.Task[None]) -> None:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            await client.get("/health")
        assert signal.getsignal(signal.SIGTERM) is handler

    def handler(_number: int, _frame: object) -> None:
        raise AssertionError("nobody sent it")

    before = signal.signal(signal.SIGTERM, handler)
    try:
        served("127.0.0.1:0", visit)
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ends_at_once_when_cancelled_also_with_a_stream_open() -> None:
    async def visit(url: str, task: asyncio.Task[None]) -> None:
        async with (
            httpx.AsyncClient(base_url=url, headers=HEADERS, trust_env=False) as client,
            client.stream("GET", "/events", params={"follow": True}) as response,
        ):
            lines = response.aiter_lines()
            assert "start" in await anext(lines)
            began = time.monotonic()
            task.cancel()
            assert [line async for line in lines] == []  # the stream ends as streams do
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < GRACE / 2
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))

    served("127.0.0.1:0", visit)


def test_a_request_under_way_is_finished() -> None:
    """DELETE /deployment ends the orchestrator, which cancels the server: its answer still comes."""

    async def visit(url: str, task: asyncio.Task[None]) -> None:
        async with httpx.AsyncClient(base_url=url, headers=HEADERS, trust_env=False) as client:
            answer = asyncio.create_task(client.delete("/deployment"))
            await entered.wait()
            task.cancel()
            await asyncio.sleep(0)
            release.set()
            assert (await answer).status_code == 204

    entered, release = asyncio.Event(), asyncio.Event()

    async def down(self: FakeFace) -> None:
        entered.set()
        await release.wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeFace, "down", down)
        served("127.0.0.1:0", visit)


def test_a_busy_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        endpoint = f"127.0.0.1:{other.getsockname()[1]}"
        app = make_app(FakeFace(), TOKEN, None)
        with pytest.raises(OrchestratorError, match=f"^{endpoint}: the API cannot listen: Address already in use; end"):
            asyncio.run(serve(app, endpoint, lambda url: None))


def test_bytes_that_are_no_http() -> None:
    async def visit(url: str, _task: asyncio.Task[None]) -> None:
        for noise in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"x" * 100_000, b"\r\n" * 5000):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(noise)
            writer.write_eof()
            assert b" 500 " not in await reader.read()
            writer.close()
        async with httpx.AsyncClient(base_url=url, headers=HEADERS, trust_env=False) as client:
            assert (await client.get("/deployment")).status_code == 200

    served("127.0.0.1:0", visit)
