"""The contract of drivers, for each of them: what starts, runs on, ends and is told."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from driver_worlds import (
    PATIENCE,
    STAND_IN,
    DockerWorld,
    ProcessWorld,
    RemoteWorld,
    World,
    launch,
    opened,
    until,
    up,
)
from running_agent import RunningAgent
from statelessnf.errors import DriverError
from statelessnf.orchestrator.drivers.process import ProcessDriver


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture(scope="module")
def agent() -> Iterator[RunningAgent]:
    with RunningAgent(lambda: ProcessDriver(STAND_IN, PATIENCE)) as agent:
        yield agent


@pytest.fixture(params=["process", "remote", pytest.param("docker", marks=pytest.mark.root)])
def world(request: pytest.FixtureRequest, folder: Path) -> Iterator[World]:
    world: World
    match request.param:
        case "process":
            world = ProcessWorld(folder)
        case "remote":
            world = RemoteWorld(folder, request.getfixturevalue("agent"))
        case _:
            world = DockerWorld(folder, request.getfixturevalue("engine"))
    with closing(world):
        yield world


def test_an_instance_gets_its_order_and_its_end_is_told_at_once(world: World) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, ends):
            await until(lambda: driver.reachable)
            order = launch(world.folder, "one", cores=(1,)).order
            await driver.start(launch(world.folder, "one", cores=(1,)))
            found = await up(world, "one")
            assert found["order"] == order.model_dump(mode="json")
            assert found["cores"] == [1]
            assert found["modes"] == ["0o600", "0o600"]
            assert found["command"][1] == "run"
            assert found["command"][-1] == "--json"
            began = time.monotonic()
            os.kill(world.pid(found), signal.SIGKILL)
            assert await ends.next() == ("one", "killed by SIGKILL: stand-in: begins")
            assert (time.monotonic() - began) * 1000 < world.end_ms
            assert not world.left()

    asyncio.run(scene())


def test_stop_asks_first(world: World) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, ends):
            await driver.start(launch(world.folder, "polite"))
            await driver.start(launch(world.folder, "rude", "stubborn"))
            for name in ("polite", "rude"):
                await up(world, name)
                await driver.stop(name)
            told = dict([await ends.next(), await ends.next()])
            assert told["polite"].startswith("exit code 0")
            assert told["rude"].startswith("killed by SIGKILL")
            await driver.stop("polite")
            await driver.kill("rude")

    asyncio.run(scene())


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_one_that_is_stopped_ends_all_the_same(world: World, how: str) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, ends):
            await driver.start(launch(world.folder, "frozen"))
            found = await up(world, "frozen")
            os.kill(world.pid(found), signal.SIGSTOP)
            await (driver.stop if how == "stop" else driver.kill)("frozen")
            name, why = await ends.next()
            assert name == "frozen"
            assert why.startswith("exit code 0" if how == "stop" else "killed by SIGKILL")
            assert not world.alive(found)

    asyncio.run(scene())


def test_close_leaves_it_running_and_another_driver_adopts_it(world: World) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, first):
            handle = await driver.start(launch(world.folder, "kept"))
            found = await up(world, "kept")
        assert world.alive(found)
        async with opened(world) as (driver, ends):
            assert await driver.adopt("kept", handle)
            assert await driver.adopt("kept", handle)
            await driver.stop("kept")
            assert (await ends.next())[0] == "kept"
            assert not world.left()
            await asyncio.sleep(0)
            assert not ends.seen
        assert not first.seen

    asyncio.run(scene())


def test_one_whose_start_nobody_has_seen_end_is_found_by_its_name(world: World) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, _):
            await driver.start(launch(world.folder, "orphan"))
            await up(world, "orphan")
        async with opened(world) as (driver, ends):
            assert not await driver.adopt("nobody", "")
            assert await driver.adopt("orphan", "")
            await driver.stop("orphan")
            assert (await ends.next())[0] == "orphan"
            assert not world.left()

    asyncio.run(scene())


def test_one_that_nobody_knows_of_ends(world: World) -> None:
    asked = not isinstance(world, RemoteWorld)  # an agent is not

    async def scene() -> None:
        async with opened(world) as (driver, _):
            for name in ("known", "lost"):
                await driver.start(launch(world.folder, name))
            known, lost = await up(world, "known"), await up(world, "lost")
        other = launch(world.folder.parent / "other", "lost").document
        async with opened(world) as (driver, ends):
            assert list(await driver.sweep(other, lambda name: False)) == []
            assert world.alive(lost)
            document = launch(world.folder, "lost").document
            assert list(await driver.sweep(document, lambda name: name == "known")) == ["lost"] * asked
            assert world.alive(lost) != asked
            assert world.alive(known)
            for name in ("known", "lost") if not asked else ("known",):
                assert await driver.adopt(name, "")
                await driver.kill(name)
                assert (await ends.next())[0] == name
            assert not world.left()

    asyncio.run(scene())


def test_what_has_ended_unseen_is_not_adopted(world: World) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, _):
            handle = await driver.start(launch(world.folder, "gone"))
            found = await up(world, "gone")
        os.kill(world.pid(found), signal.SIGKILL)
        await until(lambda: not world.alive(found))
        async with opened(world) as (driver, ends):
            assert not await driver.adopt("gone", handle)
            assert not world.left()
            assert not ends.seen
            with pytest.raises(DriverError, match="handle"):
                await driver.adopt("gone", "{}")

    asyncio.run(scene())


def test_one_that_ends_at_once_says_why(world: World) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, ends):
            await driver.start(launch(world.folder, "broken", "broken"))
            assert await ends.next() == ("broken", "exit code 1: snf: inside: no such port; correct it")

    asyncio.run(scene())


def test_a_start_that_fails_leaves_nothing(world: World) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, ends):
            with pytest.raises(DriverError, match="999"):
                await driver.start(launch(world.folder, "wide", cores=(999,)))
            bad = replace(launch(world.folder, "bad"), document="name = 1")
            with pytest.raises(DriverError, match="deployment"):
                await driver.start(bad)
            await driver.start(launch(world.folder, "once"))
            with pytest.raises(DriverError, match="already"):
                await driver.start(launch(world.folder, "once"))
            await up(world, "once")
            await driver.kill("once")
            assert (await ends.next())[0] == "once"
            assert not world.left()
            assert not ends.seen

    asyncio.run(scene())


def test_a_start_that_is_cancelled_leaves_nothing(world: World) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, ends):
            task = asyncio.create_task(driver.start(launch(world.folder, "never")))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: not world.left())
            assert not ends.seen

    asyncio.run(scene())


def test_capacity_is_measured(world: World) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, _):
            capacity = await driver.capacity()
            assert set(capacity.cores) == os.sched_getaffinity(0)
            total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
            assert abs(capacity.memory_mb - total) <= 1
            assert "lo" in capacity.interfaces

    asyncio.run(scene())
