"""A controller over a driver and a switch that do as they are told; beats are made by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager

from statelessnf.bench.simulated.world import SimulatedDriver, SimulatedSwitch, slots
from statelessnf.orchestrator.beats import ADMITTING, AVAILABLE, Beat
from statelessnf.orchestrator.controller import Controller
from statelessnf.orchestrator.events import Events
from statelessnf.orchestrator.host_watch import WatchedHost
from statelessnf.orchestrator.journal import Journal
from statelessnf.orchestrator.section import OrchestratorSection
from statelessnf.orchestrator.state import Entry, Kept, State


def section(scaling: Mapping[str, float] | None = None) -> OrchestratorSection:
    """One host, `here`, with four slots; `scaling`: its options, None: it is off."""
    document = {
        "minimum": 2,
        "maximum": 4,
        "scaling": {"enabled": False} if scaling is None else dict(scaling),
        "detection": {"limit_ms": 100},
        "steering": {"kind": "nftables", "clients": "clients", "servers": "servers"},
        "hosts": [{"name": "here", "slots": [slot.model_dump() for slot in slots(4)]}],
    }
    return OrchestratorSection.model_validate(document)


class Play:
    """A controller over a fake driver and a fake switch, with its state in a real store.

    `packets`: that each instance has received when it beats the next time, for each beat so far.
    """

    def __init__(
        self,
        state: State,
        store: Executor,
        kept: Kept,
        settings: OrchestratorSection,
        driver: SimulatedDriver,
    ) -> None:
        self.driver, self.switch, self.state = driver, SimulatedSwitch(), state
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
        self.packets = 0
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
        """One beat of each pipe of each of them."""
        self._sequence += 1
        now = asyncio.get_running_loop().time()
        for name in names:
            token = bytes.fromhex(self.controller.sightings.known[name].entry.token)
            launch = self.driver.running.get(name)
            pipes = 1 if launch is None else launch.order.pipes
            for pipe in range(pipes):
                received = self.packets * self._sequence // pipes
                heard = beat(token, self._sequence, available=available)
                self.controller.vigil.heard(token, heard._replace(pipe=pipe, pipes=pipes, received=received), now)

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
async def playing(
    state: State, kept: Kept, driver: SimulatedDriver, scaling: Mapping[str, float] | None = None
) -> AsyncIterator[Play]:
    """A play that has begun; it ends with the block."""
    with ThreadPoolExecutor(1) as store:
        play = Play(state, store, kept, section(scaling), driver)
        await play.begin(state.instances())
        try:
            yield play
        finally:
            await play.end()


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Until it holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0)


def kinds(play: Play) -> list[str]:
    """Of all events, oldest first."""
    return [event.kind for event in play.events.after(0)]
