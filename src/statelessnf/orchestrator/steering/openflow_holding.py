"""What one connected OpenFlow switch holds of ours: brought to what it is to hold, without a packet lost on the way.

A change of members is a few changes of groups and a barrier: first what is pointed to, then what points, and last what
nobody points to any more goes. Where it is not known what the switch holds, or where entries change, all entries are
put anew under the cookie of a next generation, each in the place of its predecessor, and then older generations go.
What bears neither our cookie nor a group id of our range is neither read nor touched. Where entries of another owner
stand, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from statelessnf.errors import SteeringError
from statelessnf.orchestrator.steering import openflow_messages as messages
from statelessnf.orchestrator.steering import openflow_reading as reading
from statelessnf.orchestrator.steering.openflow_channel import Channel
from statelessnf.orchestrator.steering.openflow_program import COOKIE_MASK, Group, Identity, Program

_WHOLE = 0xFFFF_FFFF_FFFF_FFFF


class Holding:
    """One change at a time. Methods raise SteeringError; then it is no longer known what the switch holds."""

    def __init__(self, channel: Channel, identity: Identity, table: int) -> None:
        self._channel, self._identity, self._table = channel, identity, table
        self._buckets = messages.Buckets()
        self._held: Program | None = None  # None: not known
        self.up_to_date = False  # whether it holds what it was given last, or is just being given that

    async def put(self, program: Program) -> None:
        """Returns when the switch has confirmed it. Nothing is sent if it holds that already."""
        held, self._held = self._held, None
        try:
            if held is None or held.flows != program.flows:
                await self._put_anew(program)
            elif held.groups != program.groups:
                await self._put_groups(held, program)
        except BaseException:
            self.up_to_date = False
            raise
        self._held, self.up_to_date = program, True

    async def remove(self) -> None:
        """All that is ours."""
        self._held, self.up_to_date = None, False
        groups, _ = await self._groups(), await self._cookies()
        entries = messages.flows_removed(self._table, self._identity.cookie, COOKIE_MASK)
        await self._channel.change([entries, *map(messages.group_removed, groups)])

    async def _put_groups(self, held: Program, program: Program) -> None:
        changes = self._changed(held.groups, held.groups.keys(), program.groups)
        await self._channel.change([*changes, *map(messages.group_removed, held.groups.keys() - program.groups)])

    async def _put_anew(self, program: Program) -> None:
        groups, cookies = await self._groups(), await self._cookies()
        cookie = self._identity.next_cookie(cookies)
        entries = [messages.flow_added(self._table, cookie, flow) for flow in program.flows]
        await self._channel.change([*self._changed({}, groups, program.groups), *entries])
        old = [messages.flows_removed(self._table, before, _WHOLE) for before in cookies - {cookie}]
        await self._channel.change([*old, *map(messages.group_removed, groups - program.groups.keys())])

    def _changed(self, held: Mapping[int, Group], there: Collection[int], wanted: Mapping[int, Group]) -> list[bytes]:
        order = sorted(wanted, key=lambda number: wanted[number].kind != "failover")
        return [
            (self._buckets.modified if number in there else self._buckets.added)(number, wanted[number])
            for number in order
            if held.get(number) != wanted[number]
        ]

    async def _groups(self) -> set[int]:
        ours = self._identity.groups
        return await self._channel.question(messages.groups_request(), lambda body: reading.groups(body, ours))

    async def _cookies(self) -> set[int]:
        """Raises SteeringError if one is another owner's: what is there is to stay as it is."""
        ours = self._identity.cookie
        request = messages.flows_request(self._table, ours)
        found = await self._channel.question(request, lambda body: reading.cookies(body, ours))
        if other := [cookie for cookie in sorted(found) if self._identity.foreign(cookie)]:
            what = "a deployment of this name is steered here already, by an orchestrator with another store"
            remove = f"ovs-ofctl -O OpenFlow13 del-flows BRIDGE cookie={other[0]:#x}/{COOKIE_MASK:#x}"
            do = f"take that one down, or give this one another name; if that one is no more: {remove}"
            raise SteeringError(what, self._channel.name, do)
        return found
