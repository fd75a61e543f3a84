"""`snf agent` and its client: what is lost on the way is made good, and who may not is refused."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from driver_worlds import PATIENCE, STAND_IN, Ends, ProcessWorld, launch, make_certificate, until, up
from running_agent import RunningAgent
from running_app import TOKEN
from statelessnf.api.server import Certificate
from statelessnf.commands.agent import agent
from statelessnf.errors import ConfigError, DriverError
from statelessnf.orchestrator.drivers.choice import make_driver
from statelessnf.orchestrator.drivers.driver import Capacity, Doomed, Driver, Ended, IsKnown, Launch
from statelessnf.orchestrator.drivers.process import ProcessDriver
from statelessnf.orchestrator.drivers.remote import RemoteDriver
from statelessnf.orchestrator.section import HostSection


def stand_ins() -> Driver:
    return ProcessDriver(STAND_IN, PATIENCE)


def remote(url: str, token: str = TOKEN, authority: Path | None = None) -> RemoteDriver:
    return RemoteDriver(url, token, "contract", "process", authority=authority)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ProcessWorld]:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    with closing(ProcessWorld(folder)) as world:
        yield world


def test_an_end_while_the_agent_was_away_is_told_by_the_next_one(world: ProcessWorld) -> None:
    async def scene() -> None:
        with RunningAgent(stand_ins) as service:
            driver, ends = remote(service.url), Ends()
            await driver.open(ends)
            for name in ("one", "two"):
                await driver.start(launch(world.folder, name))
            one, two = await up(world, "one"), await up(world, "two")
            await until(lambda: driver.reachable)
        await until(lambda: not driver.reachable)
        with pytest.raises(DriverError, match="does not answer"):
            await driver.kill("one")
        os.kill(world.pid(one), signal.SIGKILL)
        await until(lambda: not world.alive(one))
        assert not ends.seen
        with RunningAgent(stand_ins, service.url.removeprefix("http://")):
            assert await ends.next() == ("one", "it ended while nobody watched")
            assert world.alive(two)
            await driver.kill("two")
            assert (await ends.next())[0] == "two"
            await driver.close()
        assert not ends.seen

    asyncio.run(scene())


class Slow:
    """A driver whose starts take long."""

    reachable = True

    def __init__(self) -> None:
        self.did: list[str] = []

    async def open(self, ended: Ended) -> None:
        self.ended = ended

    async def capacity(self) -> Capacity:
        return Capacity((), 0, ())

    async def start(self, launch: Launch) -> str:
        self.did.append("starts")
        await asyncio.sleep(0.2)
        self.did.append("started")
        return "handle"

    async def adopt(self, name: str, handle: str) -> bool:
        return False

    def watch_pipes(self, name: str, doomed: Doomed) -> None:
        pass

    async def sweep(self, document: str, known: IsKnown) -> Sequence[str]:
        return ()

    async def stop(self, name: str) -> None:
        self.did.append("stop")

    async def kill(self, name: str) -> None:
        self.did.append("kill")

    async def close(self) -> None:
        pass


def test_a_start_that_nobody_waits_for_any_more_is_undone(tmp_path: Path) -> None:
    async def scene() -> None:
        slow = Slow()
        with RunningAgent(lambda: slow) as service:
            driver = remote(service.url)
            await driver.open(Ends())
            task = asyncio.create_task(driver.start(launch(tmp_path, "one")))
            await until(lambda: "starts" in slow.did)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await driver.close()
            await until(lambda: slow.did[-2:] == ["started", "kill"])

    asyncio.run(scene())


def test_over_tls_the_agent_must_have_the_right_certificate(world: ProcessWorld, tmp_path: Path) -> None:
    chain, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_certificate(tmp_path, "agent")

    async def scene() -> None:
        with RunningAgent(stand_ins, certificate=Certificate(chain, key)) as service:
            assert service.url.startswith("https://")
            trusting, doubting = remote(service.url, authority=chain), remote(service.url)
            assert (await trusting.capacity()).cores
            with pytest.raises(DriverError, match="CERTIFICATE_VERIFY_FAILED"):
                await doubting.capacity()
            await trusting.close()
            await doubting.close()

    asyncio.run(scene())


def test_a_wrong_token_is_refused(world: ProcessWorld) -> None:
    async def scene() -> None:
        with RunningAgent(stand_ins) as service:
            driver = remote(service.url, "another-token-than-that")
            await driver.open(Ends())
            with pytest.raises(DriverError, match="token is wrong"):
                await driver.start(launch(world.folder, "one"))
            assert not driver.reachable
            await driver.close()

    asyncio.run(scene())
    assert not world.left()


@pytest.fixture(scope="module")
def running() -> Iterator[RunningAgent]:
    with RunningAgent(stand_ins) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "process/instances", b"", 422),
        ("POST", "process/instances", b'{"order": 1}', 422),
        ("PUT", "process/instances/one", b'{"handle": 1}', 422),
        ("PUT", "process/instances/one", b'{"handle": "nonsense"}', 502),
        ("PUT", "process/instances/..%2f..%2fetc", b'{"handle": "{}"}', 404),
        ("POST", "process/instances/one/burn", b"", 404),
        ("GET", "cloud/capacity", b"", 422),
        ("POST", "process/instances/nobody/kill", b"", 204),
    ],
)
def test_odd_requests_get_problem_documents(
    running: RunningAgent, method: str, path: str, body: bytes, status: int
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.request(method, f"{running.url}/v1/contract/{path}", content=body, headers=headers)
    assert answer.status_code == status
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]


def test_an_agent_that_falls_silent_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statelessnf.orchestrator.drivers.remote.SILENCE", 0.2)
    hold = asyncio.Event()

    async def say_one_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n")
        await writer.drain()
        await hold.wait()
        writer.close()

    async def scene() -> None:
        server = await asyncio.start_server(say_one_line, "127.0.0.1", 0)
        driver = remote(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await driver.open(Ends())
        await until(lambda: driver.reachable)
        await until(lambda: not driver.reachable)
        await driver.close()
        hold.set()
        server.close()
        await server.wait_closed()

    asyncio.run(scene())


def test_something_else_at_that_address_is_no_agent(world: ProcessWorld) -> None:
    async def say_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[nonsense")
        await writer.drain()
        writer.close()

    async def scene() -> None:
        server = await asyncio.start_server(say_nonsense, "127.0.0.1", 0)
        driver = remote(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await driver.open(Ends())
        with pytest.raises(DriverError, match="makes no sense"):
            await driver.capacity()
        assert not driver.reachable
        await driver.close()
        server.close()
        await server.wait_closed()

    asyncio.run(scene())


def test_the_token_does_not_cross_a_network_in_the_clear() -> None:
    with pytest.raises(ConfigError, match="https only"):
        remote("http://192.0.2.1:8471")


SLOT = {"inside": "i", "outside": "o", "switch_inside": "i", "switch_outside": "o"}


def section(**more: object) -> HostSection:
    return HostSection.model_validate({"name": "there", "slots": [SLOT], **more})


def test_the_section_decides_which_driver(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    there = {"address": "https://192.0.2.1:8471", "token_file": str(token)}
    assert isinstance(make_driver(section(), "d"), ProcessDriver)
    with pytest.raises(ConfigError, match="others can read"):
        make_driver(section(**there), "d")
    token.chmod(0o600)
    driver = make_driver(section(**there), "d")
    assert isinstance(driver, RemoteDriver)
    asyncio.run(driver.close())
    with pytest.raises(ConfigError, match="token_file"):
        make_driver(section(address=there["address"]), "d")
    with pytest.raises(ConfigError, match="snf agent"):
        make_driver(section(address="ssh://there"), "d")
    token.write_text("short\n")
    with pytest.raises(ConfigError, match="no token"):
        make_driver(section(**there), "d")


@pytest.mark.parametrize(
    ("listen", "certificate", "why"),
    [("0.0.0.0:0", None, "in the clear"), ("[::]:0", None, "in the clear"), ("here:1", None, "no address"),
     ("127.0.0.1:0", Path("a.pem"), "and its key")],
)  # fmt: skip
def test_the_command_refuses_what_is_not_safe(tmp_path: Path, listen: str, certificate: Path | None, why: str) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with pytest.raises(ConfigError, match=why):
        agent(listen, token, certificate, None)


def test_the_command_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    command = [sys.executable, "-m", "statelessnf.cli", "agent", "--token-file", str(token), "--listen"]
    with subprocess.Popen([*command, "127.0.0.1:0"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]

        async def scene() -> None:
            driver = remote(url)
            await driver.open(Ends())
            assert (await driver.capacity()).cores
            await until(lambda: driver.reachable)
            process.terminate()
            await until(lambda: not driver.reachable)
            await driver.close()

        asyncio.run(scene())
        assert process.wait(60) == 0
        assert not process.stderr.read()
