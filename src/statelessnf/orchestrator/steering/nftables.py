"""The steering of kind `nftables`: the switch is a Linux host, or a namespace of it, whose interfaces are the ports.

One thread of its own does all that may wait (nftables_table.py), one thing after the other; the event loop only hears
that there is news of interfaces or rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from statelessnf.errors import Refused, SteeringError
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.steering.members import Places, checked
from statelessnf.orchestrator.steering.nftables_table import Table
from statelessnf.orchestrator.steering.steering import Changed, Member, Ports
from statelessnf.orchestrator.steering.where import where_is

_RETRY_SECONDS = 1.0
_T = TypeVar("_T")


class NftablesSteering:
    """`Steering` (steering.py) by the table `netdev snf-<name>`; other tables are left alone.

    `places`: ports of all instances that there may be. They are watched from the beginning, and what an instance sends
    there is carried on, also while it gets nothing. Members of `steer` are added to them. `owner`: see ownership.py.
    """

    def __init__(
        self, ports: Ports, name: str, namespace: str | None = None, places: Sequence[Member] = (), owner: str = ""
    ) -> None:
        self._namespace = Namespace(namespace) if namespace is not None else None
        self._make = lambda: Table(ports, name, owner, self._namespace, Places(places))
        self._table: Table | None = None
        self._told = False, frozenset[str](), 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nftables")
        self._stirred = asyncio.Event()

    async def open(self, changed: Changed) -> None:
        """See Steering. Raises SteeringError: no such namespace, no nftables; Refused: not ours, no permission."""
        self._changed = changed
        try:
            self._table = await self._run(self._make)
        except PermissionError as error:  # which does not come with time
            what = f"this user may not steer by nftables: {error.strerror}"
            raise Refused(what, where_is(self._namespace), "run it as root (CAP_NET_ADMIN, CAP_SYS_ADMIN)") from error
        except OSError as error:
            what, do = f"cannot be entered: {error.strerror}", "make the namespace"
            raise SteeringError(what, where_is(self._namespace), do) from error
        self._told = self.connected, self.lost, self.restored
        for news in self._table.interfaces.news:
            asyncio.get_running_loop().add_reader(news, self._heard, self._table)
        self._follower = asyncio.create_task(self._follow(self._table))

    @property
    def connected(self) -> bool:
        """Whether the ports of both sides are there, and the rules are those for the links that there are."""
        return self._table is not None and self._table.usable

    @property
    def lost(self) -> frozenset[str]:
        """See Steering; also of places that are no members."""
        return self._table.lost if self._table is not None else frozenset()

    @property
    def restored(self) -> int:
        """See Steering."""
        return self._table.restored if self._table is not None else 0

    async def steer(self, members: Sequence[Member]) -> None:
        """See Steering. 1 to 2 ms."""
        wanted, table = checked(members), self._opened()
        await self._run(lambda: table.put(wanted))
        self._tell()

    async def traffic(self) -> dict[str, int]:
        """See Steering."""
        return await self._run(self._opened().sent)

    async def close(self) -> None:
        """See Steering. May be called twice, and where `open` has failed."""
        table, self._table = self._table, None
        if table is not None:
            for news in table.interfaces.news:
                asyncio.get_running_loop().remove_reader(news)
            self._follower.cancel()
            with suppress(asyncio.CancelledError):
                await self._follower
            await self._run(table.close)
        self._thread.shutdown(wait=False)

    async def clear(self) -> None:
        """See Steering."""
        await self._run(self._opened().remove)

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _opened(self) -> Table:
        if self._table is None:
            raise SteeringError("the steering is not open", where_is(self._namespace))
        return self._table

    def _heard(self, table: Table) -> None:
        table.interfaces.drain()
        self._stirred.set()

    async def _follow(self, table: Table) -> None:
        """After each change of interfaces or rules; once a second where nftables refused what had to be done then."""
        failed = False
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), _RETRY_SECONDS if failed else None)
            self._stirred.clear()
            try:
                await self._run(table.refresh)
                failed = False
            except SteeringError:
                failed = True  # `connected` says so
            self._tell()

    def _tell(self) -> None:
        state = self.connected, self.lost, self.restored
        if state != self._told:
            self._told = state
            self._changed()
