"""Tells the switch who gets the traffic: the latest wish, one at a time, again and again until the switch confirms it.

A wish that comes while another is on its way takes the place of all that wait. `steered` is what the switch has
confirmed, in order; a switch that was away is given the wish anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from statelessnf.errors import SteeringError
from statelessnf.orchestrator.steering.steering import Member, Steering

AGAIN = 0.2  # seconds until the next try


class Steersman:
    """`ports`: the two ports of an instance, by its name. `done`: called with the members and the ms that it took."""

    def __init__(
        self,
        steering: Steering,
        ports: Callable[[str], Member | None],
        done: Callable[[Sequence[str], float], None],
        steered: Sequence[str] | None,
        leads: Callable[[], bool],
    ) -> None:
        self.steering, self._ports, self._done = steering, ports, done
        self.steered = None if steered is None else tuple(steered)
        self.problem = ""
        self._leads = leads
        self._wish: tuple[str, ...] | None = None
        self._asked_at = 0.0
        self._wake = asyncio.Event()

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way."""
        return self._wish is None

    def steer(self, members: Sequence[str]) -> None:
        """A new wish; never waits."""
        if self._wish is None:
            self._asked_at = asyncio.get_running_loop().time()
        self._wish = tuple(members)
        self._wake.set()

    def opened(self) -> None:
        """The switch is open for the first time: it is told what a predecessor told it last."""
        if self._wish is None and self.steered:
            self.steer(self.steered)

    async def run(self) -> None:
        """Carries wishes out, until it is cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while (wish := self._wish) is not None:
                if not await self._try(wish):
                    await asyncio.sleep(AGAIN)

    async def _try(self, wish: tuple[str, ...]) -> bool:
        if not self._leads():
            return False
        members = [ports for name in wish if (ports := self._ports(name)) is not None]
        try:
            await self.steering.steer(members)
        except SteeringError as error:
            self.problem = error.line()
            return False
        self.problem, self.steered = "", wish
        if self._wish == wish:
            self._wish = None
        self._done(wish, (asyncio.get_running_loop().time() - self._asked_at) * 1000)
        return True
