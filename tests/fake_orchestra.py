"""A driver and a switch that do as they are told, for tests of what tells them; beats are made by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager

from statelessnf.errors import DriverError, SteeringError
from statelessnf.orchestrator.beats import ADMITTING, AVAILABLE, Beat
from statelessnf.orchestrator.controller import Controller
from statelessnf.orchestrator.drivers.driver import Capacity, Ended, Launch, Slot
from statelessnf.orchestrator.events import Events
from statelessnf.orchestrator.host_watch import WatchedHost
from statelessnf.orchestrator.journal import Journal
from statelessnf.orchestrator.section import OrchestratorSection
from statelessnf.orchestrator.state import Entry, Kept, State
from statelessnf.orchestrator.steering.steering import Changed, Member


class FakeDriver:
    """Instances that exist from `start` to `end`."""

    def __init__(self, running: Mapping[str, Launch] | None = None) -> None:
        self.running: dict[str, Launch] = dict(running or {})
        self.refuse = ""  # starts, for this reason
        self.reachable = True
        self.asked: list[tuple[str, str]] = []
        self._ended: Ended = lambda _name, _why: None

    async def open(self, ended: Ended) -> None:
        self._ended = ended

    async def capacity(self) -> Capacity:
        return Capacity((0, 1), 1024, ())

    async def start(self, launch: Launch) -> str:
        if self.refuse:
            raise DriverError(self.refuse)
        self.running[launch.order.name] = launch
        return f"handle of {launch.order.name}"

    async def adopt(self, name: str, handle: str) -> bool:
        return name in self.running and handle in ("", f"handle of {name}")

    async def stop(self, name: str) -> None:
        self.asked.append(("stop", name))
        self.end(name, "exit code 0")

    async def kill(self, name: str) -> None:
        self.asked.append(("kill", name))
        self.end(name, "signal 9")

    async def close(self) -> None:
        pass

    def end(self, name: str, why: str) -> None:
        """It ends, whoever wanted that."""
        if self.running.pop(name, None) is not None:
            self._ended(name, why)


class FakeSwitch:
    """Remembers what it was told. `refuse`: why it does not do it."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []  # inner ports of the members, each time
        self.refuse = ""
        self.connected = True
        self.lost: frozenset[str] = frozenset()
        self.cleared = False
        self.changed: Changed = lambda: None

    async def open(self, changed: Changed) -> None:
        self.changed = changed

    async def steer(self, members: Sequence[Member]) -> None:
        await asyncio.sleep(0)
        if self.refuse:
            raise SteeringError(self.refuse)
        self.told.append([member.inside for member in members])

    async def traffic(self) -> dict[str, int]:
        return {}

    async def close(self) -> None:
        pass

    async def clear(self) -> None:
        self.cleared = True


def slots(count: int) -> tuple[Slot, ...]:
    """Of a host."""
    return tuple(
        Slot(inside="net_null0", outside="net_null1", switch_inside=f"in{n}", switch_outside=f"out{n}")
        for n in range(count)
    )


def section() -> OrchestratorSection:
    """One host, `here`, with four slots."""
    document = {
        "minimum": 2,
        "maximum": 4,
        "scaling": {"enabled": False},
        "detection": {"limit_ms": 100},
        "steering": {"kind": "nftables", "clients": "clients", "servers": "servers"},
        "hosts": [{"name": "here", "slots": [slot.model_dump() for slot in slots(4)]}],
    }
    return OrchestratorSection.model_validate(document)


class Play:
    """A controller over a fake driver and a fake switch, with its state in a real store."""

    def __init__(
        self,
        state: State,
        store: Executor,
        kept: Kept,
        settings: OrchestratorSection,
        driver: FakeDriver,
    ) -> None:
        self.driver, self.switch, self.state = driver, FakeSwitch(), state
        self.events = Events()
        self.leads = True
        self.journal = Journal(state, store, self.events)
        self.host = WatchedHost(settings.hosts[0], self.driver)
        self.controller = Controller(
            "edge",
            settings,
            1,
            kept,
            {"here": self.host},
            self.switch,
            self.journal,
            self.events,
            lambda: self.leads,
        )
        self._sequence = 0
        self._tasks: list[asyncio.Task[object]] = []

    async def begin(self, entries: Sequence[Entry] = ()) -> None:
        """As when it takes the lead."""
        for entry in entries:
            self.controller.know(entry)
        await self.driver.open(self.controller.ended)
        await self.host.measure()
        await self.controller.adopt(self.host)
        await self.switch.open(self.controller.switch_changed)
        self.controller.steersman.opened()
        for work in (self.controller.steersman.run(), self.controller.run(), self.journal.run()):
            self._tasks.append(asyncio.ensure_future(work))

    def beat(self, *names: str, available: bool = True) -> None:
        """One beat of each of them."""
        self._sequence += 1
        now = asyncio.get_running_loop().time()
        for name in names:
            token = bytes.fromhex(self.controller.sightings.known[name].entry.token)
            self.controller.heard(token, beat(token, self._sequence, available=available), now)

    async def beating(self, *silent: str) -> None:
        """Every instance that runs beats, all the time, but those that are silent; until it is cancelled."""
        while True:
            self.beat(*(name for name in self.driver.running if name not in silent))
            await asyncio.sleep(0.002)

    async def end(self) -> None:
        """Leaves everything as it is."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def beat(token: bytes, sequence: int, *, available: bool = True) -> Beat:
    """Of the only pipe of an instance that has nothing to do."""
    flags = ADMITTING | (AVAILABLE if available else 0)
    return Beat(flags, 0, 1, token, sequence, sequence * 5_000_000, *[0] * 10)


@asynccontextmanager
async def playing(state: State, kept: Kept, driver: FakeDriver) -> AsyncIterator[Play]:
    """A play that has begun; it ends with the block."""
    with ThreadPoolExecutor(1) as store:
        play = Play(state, store, kept, section(), driver)
        await play.begin(state.instances())
        try:
            yield play
        finally:
            await play.end()


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Until it holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0)
