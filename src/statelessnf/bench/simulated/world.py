"""A driver and a switch that do as they are told, for whoever looks at what tells them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from statelessnf.errors import DriverError, SteeringError
from statelessnf.orchestrator.drivers.driver import Capacity, Doomed, Ended, IsKnown, Launch, Slot
from statelessnf.orchestrator.steering.steering import Changed, Member


class SimulatedDriver:
    """Instances that exist from `start` to `end`; see drivers/driver.py."""

    def __init__(self, running: Mapping[str, Launch | None] | None = None) -> None:
        self.running: dict[str, Launch | None] = dict(running or {})
        self.refuse = ""  # starts, for this reason
        self.reachable = True
        self.asked: list[tuple[str, str]] = []
        self.watched: dict[str, Doomed] = {}  # those whose pipes are watched
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

    def watch_pipes(self, name: str, doomed: Doomed) -> None:
        if name in self.running:
            self.watched[name] = doomed

    async def sweep(self, document: str, known: IsKnown) -> Sequence[str]:
        return ()

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
        if name in self.running:
            del self.running[name]
            self._ended(name, why)


class SimulatedSwitch:
    """Remembers what it was told, and when (s, monotonic); see steering/steering.py. `refuse`: why it does not."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []  # inner ports of the members, each time
        self.told_at: list[float] = []
        self.refuse = ""
        self.connected = True
        self.lost: frozenset[str] = frozenset()
        self.restored = 0
        self.cleared = False
        self.changed: Changed = lambda: None

    async def open(self, changed: Changed) -> None:
        self.changed = changed

    async def steer(self, members: Sequence[Member]) -> None:
        await asyncio.sleep(0)
        if self.refuse:
            raise SteeringError(self.refuse)
        self.told.append([member.inside for member in members])
        self.told_at.append(time.monotonic())

    async def traffic(self) -> dict[str, int]:
        return {}

    async def close(self) -> None:
        pass

    async def clear(self) -> None:
        self.cleared = True


def slots(count: int, first: int = 0) -> tuple[Slot, ...]:
    """Of a host; `first`: number of its first ports at the switch."""
    return tuple(
        Slot(inside="net_null0", outside="net_null1", switch_inside=f"in{n}", switch_outside=f"out{n}")
        for n in range(first, first + count)
    )
