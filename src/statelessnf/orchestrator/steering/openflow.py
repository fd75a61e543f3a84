"""The steering of kind `openflow`: the switch speaks OpenFlow 1.3 and connects to us.

One switch at a time; a connection of the same datapath takes the place of the one before, which may not have been seen
to end. Whenever the switch has come (back), or a port has come, gone or changed, it is given what it is to hold then
(openflow_program.py); members with a port that is lost are left out until it is back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from socket import AF_INET, AF_INET6, create_server

from statelessnf.errors import SteeringError
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.steering.members import Places, checked
from statelessnf.orchestrator.steering.openflow_program import Identity
from statelessnf.orchestrator.steering.openflow_reading import Misbehaviour
from statelessnf.orchestrator.steering.openflow_switch import Purpose, Switch
from statelessnf.orchestrator.steering.steering import Changed, Member, Ports
from statelessnf.orchestrator.steering.where import entered

_GREETING_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_MOST_CONNECTIONS = 16


class OpenflowSteering:
    """`Steering` (steering.py) over OpenFlow 1.3. `listen`: where switches connect to, "ADDRESS:PORT".

    `namespace`: in which it listens; None: the process's own.
    `datapath`: the only one that is let in; None: any, one at a time. `places`: ports of all instances that there may
    be; they are watched from the beginning, and what an instance sends there is carried on, also while it gets nothing.
    Members of `steer` are added to them. `owner`: see ownership.py. `closed` counts connections that were closed, by
    the reason.
    Raises SteeringError: spread by packet, which OpenFlow has no way to say.
    """

    def __init__(
        self, ports: Ports, name: str, listen: str = "127.0.0.1:6653", *, datapath: int | None = None, table: int = 0,
        priority: int = 1000, namespace: str | None = None, places: Sequence[Member] = (), owner: str = "",
    ) -> None:  # fmt: skip
        if ports.spread == "packet":
            do = 'use spread = "flow" or "direction", or kind = "nftables"'
            raise SteeringError("an OpenFlow switch cannot spread packet by packet", "orchestrator.steering.spread", do)
        self._listen, self._datapath = listen, datapath
        self._namespace = Namespace(namespace) if namespace is not None else None
        self._purpose = Purpose(ports, Identity(name, owner), table, priority, Places(places))
        self._wanted: tuple[Member, ...] | None = None  # None: nothing has been steered yet
        self._switch: Switch | None = None
        self._number = 0  # the datapath that was there last
        self._lost = frozenset[str]()  # what it said then
        self._told = False, self._lost, 0
        self._stirred, self._order = asyncio.Event(), asyncio.Lock()
        self._sessions: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.closed: Counter[str] = Counter()
        self.restored = 0  # see Steering

    async def open(self, changed: Changed) -> None:
        """See Steering: listens. Raises SteeringError: the address is in use, or not ours."""
        self._changed = changed
        host, _, port = self._listen.rpartition(":")
        family = AF_INET6 if ":" in host else AF_INET
        try:
            with entered(self._namespace):
                listener = create_server((host.strip("[]"), int(port)), family=family)
        except OSError as error:
            do = "choose another one, or end what listens there"
            raise SteeringError(f"cannot listen: {error.strerror}", self._listen, do) from error
        self._server = await asyncio.start_server(self._arrived, sock=listener)
        self._follower = asyncio.create_task(self._follow())

    @property
    def address(self) -> tuple[str, int]:
        """Where switches connect to, once it is open."""
        assert self._server is not None
        host, port, *_ = self._server.sockets[0].getsockname()
        return host, port

    @property
    def connected(self) -> bool:
        """Whether a switch is there, and holds what it is to hold."""
        return self._switch is not None and (self._wanted is None or self._switch.holds)

    @property
    def lost(self) -> frozenset[str]:
        """See Steering; also of places that are no members. As the switch said last."""
        return self._switch.lost if self._switch is not None else self._lost

    async def steer(self, members: Sequence[Member]) -> None:
        """See Steering. About a millisecond."""
        wanted = checked(members)
        try:
            async with self._order:
                await self._steer(self._present(), wanted)
        finally:
            self._tell()

    async def _steer(self, switch: Switch, wanted: tuple[Member, ...]) -> None:
        try:
            await switch.put(wanted)
        except SteeringError:
            await self._put_back(switch)
            raise
        except asyncio.CancelledError:
            self._stirred.set()  # what is half done is put back
            raise
        self._wanted = wanted

    async def traffic(self) -> dict[str, int]:
        """See Steering."""
        return await self._present().sent()

    async def close(self) -> None:
        """See Steering. May be called twice, and where `open` has failed."""
        if self._server is None:
            return
        self._server.close()
        tasks = [self._follower, *self._sessions]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def clear(self) -> None:
        """See Steering."""
        async with self._order:
            switch, self._wanted = self._present(), None
            await switch.remove()

    def _present(self) -> Switch:
        if self._switch is None:
            raise SteeringError("no switch is connected", self._listen, "point the switch's controller there")
        return self._switch

    async def _put_back(self, switch: Switch) -> None:
        """What it held before a change that was refused; if that is refused, too, it is tried again."""
        try:
            await (switch.put(self._wanted) if self._wanted is not None else switch.remove())
        except SteeringError:
            self._stirred.set()

    async def _follow(self) -> None:
        """After each change of the switch; once a second where it refused what had to be done then."""
        behind = False
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), _RETRY_SECONDS if behind else None)
            self._stirred.clear()
            async with self._order:
                behind = not await self._caught_up()
            self._tell()

    async def _caught_up(self) -> bool:
        try:
            if self._switch is not None and self._wanted is not None:
                held = self._switch.holds
                await self._switch.put(self._wanted)
                self.restored += not held
        except SteeringError:
            return False  # `connected` says so
        return True

    def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._sessions) == _MOST_CONNECTIONS:
            self.closed["too many connections"] += 1
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(Switch(reader, writer, self._purpose, self._heard)))
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)

    async def _serve(self, switch: Switch) -> None:
        try:
            await self._session(switch)
        except* (Misbehaviour, OSError, SteeringError) as met:
            told = met.subgroup(Misbehaviour)
            self.closed[str(told.exceptions[0]) if told else "lost"] += 1
        finally:
            switch.channel.abort()
            if self._switch is switch:
                self._lost, self._switch = switch.lost, None
                self._tell()

    async def _session(self, switch: Switch) -> None:
        async with asyncio.timeout(_GREETING_SECONDS):
            datapath = await switch.channel.greet()
        if datapath != (self._datapath if self._datapath is not None else datapath):
            raise Misbehaviour("another datapath")
        async with asyncio.TaskGroup() as group:
            group.create_task(switch.channel.read())
            group.create_task(switch.channel.live())
            group.create_task(self._take_over(switch, datapath))

    async def _take_over(self, switch: Switch, datapath: int) -> None:
        """From now on this connection is the switch."""
        await switch.learn()
        if self._switch is not None and datapath != self._number:
            raise Misbehaviour("a second switch")
        if self._switch is not None:
            self._switch.channel.abort()
        self._switch, self._number = switch, datapath
        self._stirred.set()

    def _heard(self) -> None:
        """Of a port: told at once, and then what follows from it is done."""
        self._tell()
        self._stirred.set()

    def _tell(self) -> None:
        state = self.connected, self.lost, self.restored
        if state != self._told:
            self._told = state
            self._changed()
