"""One connected OpenFlow switch, as a deployment sees it: those of its ports that matter, and what it holds of ours.

Other ports are forgotten at once, so that a switch that makes up ports fills nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from statelessnf.errors import SteeringError
from statelessnf.orchestrator.steering import openflow_messages as messages
from statelessnf.orchestrator.steering import openflow_reading as reading
from statelessnf.orchestrator.steering.members import Places, reachable
from statelessnf.orchestrator.steering.openflow_channel import Channel
from statelessnf.orchestrator.steering.openflow_holding import Holding
from statelessnf.orchestrator.steering.openflow_program import Identity, program
from statelessnf.orchestrator.steering.openflow_reading import Port
from statelessnf.orchestrator.steering.steering import Member, Ports


@dataclass
class Purpose:
    """What a switch is for: the same for each that comes. `places` grows with the members."""

    ports: Ports
    identity: Identity
    table: int
    priority: int
    places: Places

    def names(self) -> Iterable[str]:
        """Of the ports that matter."""
        return (self.ports.clients, self.ports.servers, *self.places)


class Switch:
    """Made for each connection; `changed` is called when a port that matters has come, gone or changed.

    Of `put` and `remove` one at a time. Raises SteeringError.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, purpose: Purpose, changed: Callable[[], None]
    ) -> None:
        self.channel = Channel(reader, writer, self._news)
        self._purpose, self._changed = purpose, changed
        self._holding = Holding(self.channel, purpose.identity, purpose.table)
        self._ports: dict[str, Port] = {}
        self._recent: dict[str, Port | None] = {}  # what was said of ports since they were asked for; None: gone

    @property
    def lost(self) -> frozenset[str]:
        """Ports of places that are not there, or down."""
        places, ports = self._purpose.places, self._ports
        return frozenset(port for port in places if port not in ports or not ports[port].up)

    @property
    def holds(self) -> bool:
        """Whether it holds what it was given last, or is just being given that."""
        return self._holding.up_to_date

    async def learn(self) -> None:
        """Asks for all ports."""
        self._recent.clear()
        found = await self.channel.question(messages.ports_request(), lambda body: list(reading.ports(body)))
        ours = {*self._purpose.names()}
        self._ports = {port.name: port for port in found if port.name in ours}
        for name, port in self._recent.items():  # it may have been said after the answer
            self._set(name, port)

    async def put(self, members: tuple[Member, ...]) -> None:
        """These get the traffic, as far as they are not lost; returns when the switch has confirmed it."""
        purpose = self._purpose
        if purpose.places.add(members):
            await self.learn()
        for port in (purpose.ports.clients, purpose.ports.servers):
            if port not in self._ports:
                do = "add it to the bridge, or name another one"
                raise SteeringError(f"the switch has no port {port!r}", self.channel.name, do)
        numbers = {name: port.number for name, port in self._ports.items()}
        usable = reachable(members, self.lost)
        wanted = program(purpose.identity, purpose.ports, purpose.priority, numbers, usable, purpose.places)
        await self._holding.put(wanted)

    async def remove(self) -> None:
        """All that is ours."""
        await self._holding.remove()

    async def sent(self) -> dict[str, int]:
        """Packets that each of the members' ports was given, by name."""
        counts = await self.channel.question(messages.counts_request(), reading.counts)
        numbers = {name: self._ports[name].number for name in self._purpose.places if name in self._ports}
        return {name: counts[number] for name, number in numbers.items() if number in counts}

    def _news(self, there: bool, port: Port) -> None:
        if port.name in self._purpose.names():
            self._recent[port.name] = port if there else None
            self._set(port.name, self._recent[port.name])
            self._changed()

    def _set(self, name: str, port: Port | None) -> None:
        if port is not None:
            self._ports[name] = port
        else:
            self._ports.pop(name, None)
