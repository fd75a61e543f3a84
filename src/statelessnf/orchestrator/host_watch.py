"""The hosts as the controller sees them: their drivers, what was measured there, and how patient to be with them.

A host that cannot be reached, or measured, takes no instances; after a failure it gets none for a while (backoff.py).
"""

from __future__ import annotations

from statelessnf.errors import DriverError
from statelessnf.orchestrator.backoff import Backoff
from statelessnf.orchestrator.drivers.driver import Capacity, Driver
from statelessnf.orchestrator.hosts import room, unlimited
from statelessnf.orchestrator.model import Host
from statelessnf.orchestrator.section import HostSection


class WatchedHost:
    """One host and its driver."""

    def __init__(self, section: HostSection, driver: Driver) -> None:
        self.section, self.driver = section, driver
        self.capacity: Capacity | None = None
        self.problem = ""
        self._room: tuple[int | None, str] = None, ""  # see hosts.room
        self._backoff = Backoff()

    @property
    def reachable(self) -> bool:
        """Whether instances can be started there."""
        return self.measured and self.driver.reachable

    @property
    def measured(self) -> bool:
        """Whether it is known what it has."""
        return self.capacity is not None

    @property
    def trouble(self) -> str:
        """What has gone wrong there, or what cores or memory there are too little of for all slots. "": nothing."""
        return self.problem or self._room[1]

    @property
    def note(self) -> str:
        """What is not as the section of the host says, and no problem. "": nothing."""
        return "" if self.capacity is None else unlimited(self.section, self.capacity)

    def seen(self) -> Host:
        """For the plan."""
        most, _ = self._room
        return Host(self.section.name, len(self.section.slots), self.reachable, self._backoff.not_before(""), most)

    async def measure(self) -> None:
        """Finds out what the host has, unless that is known."""
        if self.capacity is not None:
            return
        try:
            self.capacity = await self.driver.capacity()
            every = range(len(self.section.slots))  # interfaces come and go, and a start that misses one says so
            self._room = room(self.section, self.capacity, every)
            self.problem = ""
        except DriverError as error:
            self.problem = error.line()

    def failed(self, problem: str, now: float, worked: float = 0.0) -> None:
        """A start did not work, or what was started ended by itself after it had worked for so many seconds."""
        self.problem = problem
        self._backoff.failed("", now, worked)

    def worked(self) -> None:
        """An instance that was started there lives."""
        self.problem = ""
