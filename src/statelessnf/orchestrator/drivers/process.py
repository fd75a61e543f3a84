"""Instances as processes of this machine, in their slot's network namespace or on the host.

An instance is `snf run FILE --order ORDER --json`, detached: it runs on when the orchestrator ends or dies. A pidfd
tells of its end within a millisecond. The handle names process number and start time, so that a number which
another process got since is never taken for the instance.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from statelessnf.errors import DriverError
from statelessnf.orchestrator.drivers.capacity import measured
from statelessnf.orchestrator.drivers.driver import STOP_SECONDS, Capacity, Doomed, Ended, IsKnown, Launch
from statelessnf.orchestrator.drivers.facts import facts_of
from statelessnf.orchestrator.drivers.pipe_threads import PipeThreads
from statelessnf.orchestrator.drivers.process_files import FOLDER, Files, write_files
from statelessnf.orchestrator.drivers.process_handle import Handle, find, parsed, search
from statelessnf.orchestrator.drivers.process_memory import MemoryGroups
from statelessnf.orchestrator.drivers.spawn import spawn
from statelessnf.orchestrator.drivers.threads import whole
from statelessnf.processes import reaped, send, start_time

SNF = (sys.executable, "-m", "statelessnf.cli")


@dataclass
class Running:
    """One that is watched."""

    files: Files
    pidfd: int
    handle: Handle
    pipes: PipeThreads | None = None
    impatience: asyncio.TimerHandle | None = None  # SIGKILL, when SIGTERM does not help


class ProcessDriver:
    """See `Driver`. `command`: is given `run FILE --order ORDER --json`; `patience`: seconds from TERM to KILL."""

    def __init__(self, command: Sequence[str] = SNF, patience: float = STOP_SECONDS) -> None:
        self._command, self._patience = tuple(command), patience
        self._running: dict[str, Running] = {}
        self._memory = MemoryGroups()
        self._ended: Ended | None = None

    async def open(self, ended: Ended) -> None:
        """See `Driver`."""
        self._ended, self._loop = ended, asyncio.get_running_loop()

    @property
    def reachable(self) -> bool:
        """This machine always is."""
        return True

    async def capacity(self) -> Capacity:
        """See `Driver`."""
        return await asyncio.to_thread(measured, limits_memory=self._memory.available)

    async def start(self, launch: Launch) -> str:
        """See `Driver`."""
        name = launch.order.name
        if name in self._running:
            raise DriverError("this instance runs already", name, "use another name")
        running = await whole(lambda: self._begin(launch), self._undo)
        self._watch(name, running)
        return running.handle.model_dump_json()

    async def adopt(self, name: str, handle: str) -> bool:
        """See `Driver`."""
        if name in self._running:
            return True
        known = parsed(name, handle) if handle else await asyncio.to_thread(search, name)
        if known is None:
            return False
        files = Files(Path(known.folder), name)
        pidfd = find(known, str(files.order))
        if pidfd is None:
            await asyncio.to_thread(self._clear, files)
            return False
        self._watch(name, Running(files, pidfd, known))
        return True

    def watch_pipes(self, name: str, doomed: Doomed) -> None:
        """See `Driver`."""
        running = self._running.get(name)
        if running is not None and running.pipes is None:
            running.pipes = PipeThreads(running.handle.pid, lambda: doomed(name))

    async def sweep(self, document: str, known: IsKnown) -> Sequence[str]:
        """See `Driver`: what has files in the deployment's run directory."""
        return await asyncio.to_thread(self._sweep, facts_of(document).run_directory / FOLDER, known)

    async def stop(self, name: str) -> None:
        """See `Driver`."""
        running = self._running.get(name)
        if running is not None and running.impatience is None:
            running.impatience = self._loop.call_later(self._patience, send, running.pidfd, signal.SIGKILL)
            send(running.pidfd, signal.SIGTERM)
            send(running.pidfd, signal.SIGCONT)  # one that is stopped cannot end

    async def kill(self, name: str) -> None:
        """See `Driver`."""
        if name in self._running:
            send(self._running[name].pidfd, signal.SIGKILL)

    async def close(self) -> None:
        """See `Driver`."""
        for running in self._running.values():
            self._unwatch(running)
        self._running.clear()

    def _begin(self, launch: Launch) -> Running:
        """In a thread. Raises DriverError; then nothing is left."""
        name = launch.order.name
        directory = facts_of(launch.document).run_directory
        files = write_files(directory, name, launch.document, launch.order.model_dump_json())
        words = ["run", str(files.document), "--order", str(files.order), "--json"]
        try:
            pid = spawn([*self._command, *words], files.log, launch.slot.namespace, launch.cores)
        except OSError as error:
            self._clear(files)
            where = f"{name} in namespace {launch.slot.namespace or 'of the host'} on cores {launch.cores or 'any'}"
            raise DriverError(f"cannot start a process: {error.strerror}", where, "check the host's section") from error
        started = start_time(pid) or 0  # it has ended already: its pidfd says so at once
        running = Running(files, os.pidfd_open(pid), Handle(pid=pid, started=started, folder=str(files.folder)))
        self._limit(launch, running)
        return running

    def _limit(self, launch: Launch, running: Running) -> None:
        if not launch.memory_mb:
            return
        try:
            self._memory.limit(launch.order.name, running.handle.pid, launch.memory_mb)
        except OSError as error:
            self._undo(running)
            what = f"cannot limit memory to {launch.memory_mb} MB: {error.strerror}"
            raise DriverError(
                what, launch.order.name, "see that the orchestrator may write its control groups"
            ) from error

    def _sweep(self, folder: Path, known: IsKnown) -> list[str]:
        strangers = [path.stem for path in folder.glob("*.json") if not known(path.stem)]
        for files in (Files(folder, name) for name in strangers):
            handle = search(files.name)
            pidfd = None if handle is None else find(handle, str(files.order))
            if handle is None or pidfd is None:
                self._clear(files)
            else:
                self._undo(Running(files, pidfd, handle))
        return strangers

    def _undo(self, running: Running) -> None:
        """In a thread: as if it had never been started."""
        send(running.pidfd, signal.SIGKILL)
        select.select([running.pidfd], [], [], self._patience)
        with suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, running.pidfd, os.WEXITED)
        os.close(running.pidfd)
        self._clear(running.files)

    def _clear(self, files: Files) -> None:
        files.remove()
        self._memory.forget(files.name)

    def _watch(self, name: str, running: Running) -> None:
        self._running[name] = running
        self._loop.add_reader(running.pidfd, self._notice, name)

    def _unwatch(self, running: Running) -> None:
        if running.impatience is not None:
            running.impatience.cancel()
        if running.pipes is not None:
            running.pipes.close()
        self._loop.remove_reader(running.pidfd)
        os.close(running.pidfd)

    def _notice(self, name: str) -> None:
        running = self._running.pop(name)
        how = reaped(running.pidfd)
        self._unwatch(running)
        why = ": ".join(part for part in (how, running.files.last_words()) if part)
        self._clear(running.files)
        if self._ended is not None:
            self._ended(name, why)
