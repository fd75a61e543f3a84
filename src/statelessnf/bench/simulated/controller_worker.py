"""A whole controller, with its listener, its state in a store and its lease, over simulated hosts and switch.

Order: `tokens` (hex) of the instances that it adopts, `folder` for its store, `limit_ms`. Answer: `target` of the
beats. A line `{}` begins; each further one is answered: `{}` with `cpu`: seconds that this process has worked so far,
`time`, and `told`: [s (monotonic), inner ports of the members] for each time the switch was told something;
`{"end": N}` makes the last N instances end, one after the other, and has `ends`: [inner port, s (monotonic)].
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from statelessnf.bench.simulated.world import SimulatedDriver, SimulatedSwitch, slots
from statelessnf.orchestrator.beat_listener import BeatListener
from statelessnf.orchestrator.controller import Controller
from statelessnf.orchestrator.events import Events
from statelessnf.orchestrator.host_watch import WatchedHost
from statelessnf.orchestrator.journal import Journal
from statelessnf.orchestrator.leader import Leadership
from statelessnf.orchestrator.patient_loop import PatientLoop
from statelessnf.orchestrator.section import OrchestratorSection
from statelessnf.orchestrator.side_by_side import run_until_first
from statelessnf.orchestrator.state import Entry, Kept, State
from statelessnf.store.embedded import embedded_store
from statelessnf.store.url import unix_url

PER_HOST = 10
SPARE = 1  # further places of each host
MEMORY_MB = 64
PAUSE = 0.05  # seconds between two ends


def section(hosts: int, limit_ms: int) -> OrchestratorSection:
    """So many hosts, each with PER_HOST instances and room for SPARE."""
    each = PER_HOST + SPARE
    document = {
        "minimum": hosts * PER_HOST,
        "maximum": hosts * PER_HOST,
        "detection": {"limit_ms": limit_ms},
        "steering": {"kind": "nftables", "clients": "clients", "servers": "servers"},
        "hosts": [
            {"name": f"host{n}", "slots": [slot.model_dump() for slot in slots(each, n * each)]} for n in range(hosts)
        ],
    }
    return OrchestratorSection.model_validate(document)


class Played:
    """The controller and what it is given."""

    def __init__(self, order: Mapping[str, Any], state: State, store: ThreadPoolExecutor) -> None:
        tokens = order["tokens"]
        settings = section(-(-len(tokens) // PER_HOST), order["limit_ms"])
        self.entries = [_entry(number, token) for number, token in enumerate(tokens)]
        kept = Kept(revision=1, text="", path="", size=len(tokens))
        state.claim()
        state.keep(kept)
        self.leadership, events = Leadership(state, store), Events()
        self.journal, self.switch = Journal(state, store, events), SimulatedSwitch()
        self.drivers = {host.name: SimulatedDriver() for host in settings.hosts}
        self.hosts = {host.name: WatchedHost(host, self.drivers[host.name]) for host in settings.hosts}
        for entry in self.entries:
            self.drivers[entry.host].running[entry.name] = None
        self.controller = Controller(
            "cost", settings, 1, kept, self.hosts, self.switch, self.journal, events, lambda: self.leadership.leads
        )
        self.listener = BeatListener(self.controller.vigil.heard, self._knows)
        self.controller.vigil.listen(self.listener)

    def _knows(self, token: bytes) -> bool:
        return self.controller.sightings.known.name_of(token) is not None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """As while it leads."""
        for entry in self.entries:
            self.controller.know(entry)
        for host in self.hosts.values():
            await host.driver.open(self.controller.ended)
            await host.measure()
            await self.controller.adopt(host)
        await self.switch.open(self.controller.switch_changed)
        self.controller.steersman.opened()
        await self.leadership.acquire(None)
        works = (self.controller.run(), self.controller.watch_traffic(), self.controller.steersman.run())
        tasks = [asyncio.ensure_future(work) for work in (*works, self.journal.run(), self.leadership.keep())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def end(self, count: int) -> list[tuple[str, float]]:
        """The last so many instances end, one after the other: their inner ports and when."""
        ends = []
        for entry in self.entries[len(self.entries) - count :]:
            member = self.controller.sightings.member(entry.name)
            assert member is not None
            ends.append((member.inside, time.monotonic()))
            self.drivers[entry.host].end(entry.name, "it was ended to see what follows")
            await asyncio.sleep(PAUSE)
        return ends


def _entry(number: int, token: str) -> Entry:
    host, slot = divmod(number, PER_HOST)
    name = f"cost-{number:06x}"
    return Entry(name=name, host=f"host{host}", slot=slot, revision=1, token=token, handle=f"handle of {name}")


async def serve(order: Mapping[str, Any], lines: asyncio.StreamReader, store: ThreadPoolExecutor, state: State) -> None:
    """Until the lines end."""
    played = Played(order, state, store)
    with played.listener.on("127.0.0.1:0") as target:
        host, _, port = target.rpartition(":")
        print(json.dumps({"target": [host, int(port)], "helped": played.listener.helped}), flush=True)
        await lines.readline()
        async with played.running():
            print("{}", flush=True)
            while line := await lines.readline():
                ends = await played.end(json.loads(line).get("end", 0))
                told = list(zip(played.switch.told_at, played.switch.told, strict=True))
                answer = {"cpu": time.process_time(), "time": time.monotonic(), "ends": ends, "told": told}
                print(json.dumps(answer), flush=True)


async def run() -> None:
    """Until standard input ends."""
    lines = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    order = json.loads(await lines.readline())
    with embedded_store(Path(order["folder"]), MEMORY_MB) as opened, ThreadPoolExecutor(1) as store:
        state = State(unix_url(str(opened.socket_path)), "cost", "cost")
        await run_until_first({"lines": serve(order, lines, store, state)}, {})
        state.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=PatientLoop) as runner:
        runner.run(run())
