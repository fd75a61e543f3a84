"""Instances as containers of a Docker Engine, here or elsewhere.

The Engine tells when one has ended; only then, and when its interfaces are back where they were, `ended` is called. The
container itself is removed with it. See docker_container.py for what a container is.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

from pydantic import ValidationError

from statelessnf.errors import DriverError
from statelessnf.orchestrator.drivers.docker_container import INSTANCE_LABEL, SNF, Handle
from statelessnf.orchestrator.drivers.docker_engine import Engine
from statelessnf.orchestrator.drivers.docker_events import Events
from statelessnf.orchestrator.drivers.driver import STOP_SECONDS, Capacity, Doomed, Ended, IsKnown, Launch
from statelessnf.orchestrator.drivers.facts import facts_of
from statelessnf.orchestrator.drivers.threads import Tasks, whole


class DockerDriver:
    """See `Driver`. `address`: of the Engine (docker_engine.py); `command`: what is given `run FILE …` in the image."""

    def __init__(
        self, image: str, address: str = "", command: tuple[str, ...] = SNF, patience: float = STOP_SECONDS
    ) -> None:
        self._engine, self._patience = Engine(address, image, command), patience
        self._names: dict[str, str] = {}  # by container
        self._handles: dict[str, Handle] = {}  # by name
        self._tasks = Tasks()
        self._reachable = False

    async def open(self, ended: Ended) -> None:
        """See `Driver`."""
        self._ended = ended
        self._events = Events(self._engine, self._died, self._reached)

    @property
    def reachable(self) -> bool:
        """See `Driver`."""
        return self._reachable

    async def capacity(self) -> Capacity:
        """See `Driver`."""
        return await asyncio.to_thread(self._engine.capacity)

    async def start(self, launch: Launch) -> str:
        """See `Driver`."""
        name = launch.order.name
        if name in self._handles:
            raise DriverError("this instance runs already", name, "use another name")
        handle = await whole(lambda: self._engine.create(launch), self._engine.discard)
        await whole(lambda: self._engine.begin(handle), lambda _: self._engine.discard(handle))
        self._watch(name, handle)
        return handle.model_dump_json()

    async def adopt(self, name: str, handle: str) -> bool:
        """See `Driver`."""
        if name in self._handles:
            return True
        known = _parsed(name, handle) if handle else await asyncio.to_thread(self._engine.search, name)
        if known is None:
            return False
        state = await asyncio.to_thread(self._engine.state, known)
        if state is not None and state["Config"]["Labels"].get(INSTANCE_LABEL) != name:
            raise DriverError("this container is another instance's", f"{name}: {handle}", "forget the instance")
        if state is None or not state["State"]["Running"]:
            await asyncio.to_thread(self._engine.discard, known)
            return False
        self._watch(name, known)
        return True

    def watch_pipes(self, name: str, doomed: Doomed) -> None:
        """See `Driver`. The Engine shows no threads: beats tell."""

    async def sweep(self, document: str, known: IsKnown) -> Sequence[str]:
        """See `Driver`: what has the deployment's labels."""
        facts = facts_of(document)
        found = await asyncio.to_thread(self._engine.made_for, facts)
        strangers = {name: handle for name, handle in found.items() if not known(name)}
        for handle in strangers.values():
            await asyncio.to_thread(self._engine.discard, handle)
        return list(strangers)

    async def stop(self, name: str) -> None:
        """See `Driver`."""
        handle = self._handles.get(name)
        if handle is not None:
            for number in (signal.SIGTERM, signal.SIGCONT):  # one that is stopped cannot end
                await asyncio.to_thread(self._engine.send, handle, number)
            self._tasks.begin(self._insist(handle))

    async def kill(self, name: str) -> None:
        """See `Driver`."""
        if name in self._handles:
            await asyncio.to_thread(self._engine.send, self._handles[name], signal.SIGKILL)

    async def close(self) -> None:
        """See `Driver`."""
        await self._events.close()
        await self._tasks.close()
        self._names.clear()
        self._handles.clear()
        await asyncio.to_thread(self._engine.close)

    def _watch(self, name: str, handle: Handle) -> None:
        self._names[handle.container], self._handles[name] = name, handle
        self._tasks.begin(self._look(handle))  # it may have ended before it was watched

    def _forget(self, handle: Handle) -> str | None:
        name = self._names.pop(handle.container, None)
        if name is not None:
            del self._handles[name]
        return name

    def _reached(self, reachable: bool) -> None:
        self._reachable = reachable
        if reachable:
            for handle in self._handles.values():
                self._tasks.begin(self._look(handle))

    def _died(self, container: str, code: int) -> None:
        if container in self._names:
            self._tasks.begin(self._bury(self._handles[self._names[container]], code))

    async def _look(self, handle: Handle) -> None:
        state = await asyncio.to_thread(self._engine.state, handle)
        if state is None:
            await self._bury(handle, None)
        elif state["State"]["Status"] in ("exited", "dead"):
            await self._bury(handle, int(state["State"]["ExitCode"]))

    async def _bury(self, handle: Handle, code: int | None) -> None:
        name = self._forget(handle)
        if name is not None:
            try:
                why = await asyncio.to_thread(self._engine.ended, handle, code)
            except DriverError as error:
                why = error.line()
            self._ended(name, why)

    async def _insist(self, handle: Handle) -> None:
        await asyncio.sleep(self._patience)
        if handle.container in self._names:
            await asyncio.to_thread(self._engine.send, handle, signal.SIGKILL)


def _parsed(name: str, handle: str) -> Handle:
    try:
        return Handle.model_validate_json(handle)
    except ValidationError as error:
        raise DriverError("this is no handle of a container", name, "forget the instance") from error
