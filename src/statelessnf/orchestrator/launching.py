"""Starts and ends instances, as the plan says: each in a task of its own, each asked for once.

An instance stands in the store before it is started, so that a successor of an orchestrator that
dies in the middle knows of it. A start that fails leaves neither the instance nor the entry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from statelessnf.errors import DriverError, SnfError
from statelessnf.orchestrator.drivers.driver import BeatOrder, Launch, Order
from statelessnf.orchestrator.events import Events
from statelessnf.orchestrator.host_watch import WatchedHost
from statelessnf.orchestrator.hosts import Share, share
from statelessnf.orchestrator.journal import Journal
from statelessnf.orchestrator.known import Known, KnownInstances
from statelessnf.orchestrator.model import Place
from statelessnf.orchestrator.pipe_room import queued
from statelessnf.orchestrator.state import Entry, Kept


class Launcher:
    """`add`, `forget`: called for an instance that is about to be started, and for one whose start failed."""

    def __init__(
        self,
        known: KnownInstances,
        hosts: Mapping[str, WatchedHost],
        journal: Journal,
        events: Events,
        add: Callable[[Entry], Known],
        forget: Callable[[str], None],
    ) -> None:
        self._known, self._hosts, self._journal, self._events = known, hosts, journal, events
        self._add, self._forget = add, forget
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting: dict[str, asyncio.Task[None]] = {}

    @property
    def busy(self) -> bool:
        """Whether something is on its way."""
        return bool(self._tasks)

    def start(self, place: Place, kept: Kept, beats: BeatOrder) -> None:
        """Begins to start an instance; it is known when this returns."""
        entry = self._known.fresh(place, kept.revision, kept.pipes)
        known = self._add(entry)
        self._journal.put(entry)
        pipes = f", {kept.pipes} pipes" if kept.pipes > 1 else ""
        what = f"starting on {place.host}, slot {place.slot}, revision {kept.revision}{pipes}"
        self._events.tell("start", what, entry.name)
        task = self._begin(self._start(known, kept, beats.model_copy(update={"token": entry.token})))
        self._starting[entry.name] = task
        task.add_done_callback(lambda _: self._starting.pop(entry.name))

    def stop(self, name: str, why: str) -> None:
        """Begins to stop it."""
        if (known := self._to_end(name)) is not None:
            self._events.tell("stop", why, name)
            self._begin(self._end(known, self._hosts[known.entry.host].driver.stop))

    def kill(self, name: str, why: str) -> None:
        """Begins to kill it; also one that was told to stop before."""
        if (known := self._known.get(name)) is not None and known.ended is None:
            known.ending = True
            self._events.tell("kill", why, name)
            self._begin(self._end(known, self._hosts[known.entry.host].driver.kill))

    def strike(self, name: str) -> None:
        """SIGKILL, as if it had failed by itself: nobody is told before."""
        known = self._known[name]
        self._events.tell("kill", "the operator said so", name)
        self._begin(self._end(known, self._hosts[known.entry.host].driver.kill))

    async def close(self) -> None:
        """Waits for what is on its way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _to_end(self, name: str) -> Known | None:
        known = self._known.get(name)
        if known is None or known.ending or known.ended is not None or known.entry.host not in self._hosts:
            return None
        known.ending = True
        return known

    async def _start(self, known: Known, kept: Kept, beats: BeatOrder) -> None:
        entry = known.entry
        host = self._hosts[entry.host]
        try:
            known.entry = entry = await self._shared(known)
            await self._journal.written()
            handle = await host.driver.start(self._launch(entry, kept, beats))
        except SnfError as error:
            host.failed(error.line(), asyncio.get_running_loop().time())
            self._events.tell("start-failed", error.line(), entry.name)
            self._journal.remove(entry.name)
            self._forget(entry.name)
            return
        known.entry = known.entry.model_copy(update={"handle": handle})
        self._journal.put(known.entry)

    async def _shared(self, known: Known) -> Entry:
        """With its own cores and memory. Raises Refused: the host has no more; DriverError."""
        entry = known.entry
        host = self._hosts[entry.host]
        capacity = await host.driver.capacity()
        others = (one.entry for one in self._known if one is not known and one.entry.host == entry.host)
        used = {other.slot: Share(other.cores, other.memory_mb) for other in others}
        own = share(host.section, capacity, entry.slot, used)
        entry = entry.model_copy(update={"cores": own.cores, "memory_mb": own.memory_mb})
        self._journal.put(entry)
        return entry

    def _launch(self, entry: Entry, kept: Kept, beats: BeatOrder) -> Launch:
        slot = self._hosts[entry.host].section.slots[entry.slot]
        inside, outside = (queued(port, entry.pipes) for port in (slot.inside, slot.outside))
        order = Order(
            name=entry.name, revision=entry.revision, inside=inside, outside=outside, pipes=entry.pipes, beats=beats
        )
        return Launch(order, kept.text, slot, entry.slot, entry.cores, entry.memory_mb)

    async def _end(self, known: Known, ask: Callable[[str], Awaitable[None]]) -> None:
        if (starting := self._starting.get(known.entry.name)) is not None:
            await asyncio.wait({starting})  # a driver cannot end what is not there yet
        try:
            await ask(known.entry.name)
        except DriverError as error:
            known.ending = False  # and so it is asked again
            self._events.tell("end-failed", error.line(), known.entry.name)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
