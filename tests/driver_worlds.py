"""What the contract suite of drivers runs on: each kind of driver, started as a test wants it, and all taken down."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from statelessnf.orchestrator.drivers.driver import BeatOrder, Driver, Launch, Order, Slot
from statelessnf.orchestrator.drivers.process import ProcessDriver

STAND_IN = (sys.executable, "-S", str(Path(__file__).with_name("instance_stand_in.py")))
PATIENCE = 0.3  # seconds from SIGTERM to SIGKILL


def launch(folder: Path, name: str, behaviour: str = "plain", **more: Any) -> Launch:
    """A start of the stand-in; `more`: what else Launch has, and `slot`."""
    order = Order(name=name, revision=1, inside=behaviour, outside="o", pipes=1, beats=BEATS)
    document = f'name = "contract"\nfunction = "firewall"\n[instance]\nrun_directory = "{folder}"\n'
    slot = more.pop("slot", Slot(inside=behaviour, outside="o", switch_inside="i0", switch_outside="o0"))
    return Launch(order, document, slot, number=0, **more)


BEATS = BeatOrder(targets=("127.0.0.1:9",), token="0" * 32)


class Ends:
    """Collects what a driver reports."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self._news = asyncio.Event()

    def __call__(self, name: str, why: str) -> None:
        self.seen.append((name, why))
        self._news.set()

    async def next(self, seconds: float = 10.0) -> tuple[str, str]:
        """The one reported next, or already and not asked for yet."""
        async with asyncio.timeout(seconds):
            while not self.seen:
                self._news.clear()
                await self._news.wait()
        return self.seen.pop(0)


class World(Protocol):
    """One kind of driver. `end_ms`: within which an end is to be reported."""

    end_ms: float
    folder: Path

    def driver(self) -> Driver:
        """A new one, not open yet."""

    def alive(self, found: dict[str, Any]) -> bool:
        """Whether the instance that said this about itself still runs."""

    def pid(self, found: dict[str, Any]) -> int:
        """Its process on this machine."""


class ProcessWorld:
    """Processes of this machine."""

    end_ms = 50.0  # 1 ms on an idle machine

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def driver(self) -> Driver:
        return ProcessDriver(STAND_IN, PATIENCE)

    def pid(self, found: dict[str, Any]) -> int:
        return int(found["pid"])

    def alive(self, found: dict[str, Any]) -> bool:
        from statelessnf.processes import start_time

        return start_time(self.pid(found)) is not None


@asynccontextmanager
async def opened(world: World) -> AsyncIterator[tuple[Driver, Ends]]:
    """A driver that is closed in the end."""
    driver, ends = world.driver(), Ends()
    await driver.open(ends)
    try:
        yield driver, ends
    finally:
        await driver.close()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


async def up(world: World, name: str) -> dict[str, Any]:
    """What the stand-in says about itself, as soon as it is up."""
    path = world.folder / f"{name}.up"
    await until(path.exists)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def end_all(world: World) -> None:
    """Whatever a failed test has left running, and what has ended unseen."""
    for path in world.folder.glob("*.up"):
        found = json.loads(path.read_text())
        if world.alive(found):
            with suppress(ProcessLookupError):
                os.kill(world.pid(found), signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(world.pid(found), 0)
