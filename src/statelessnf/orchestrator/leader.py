"""Who leads: a lease in the store that is renewed as long as this orchestrator lives and reaches the store.

At any moment at most one orchestrator believes that it leads: it stops believing MARGIN before the store gives the
lease to another one, counted from before the request was sent, whether or not the store can be reached by then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor

from statelessnf.errors import StoreError
from statelessnf.orchestrator.state import LEASE_MS, State

MARGIN = 0.5  # seconds
PERIOD = LEASE_MS / 3000  # seconds between two renewals


class Leadership:
    """Claims the lease and keeps it. `store`: the one thread that speaks to the store."""

    def __init__(self, state: State, store: Executor, clock: Callable[[], float] = time.monotonic) -> None:
        self._state, self._store, self._clock = state, store, clock
        self._until = 0.0
        self.problem = ""

    @property
    def leads(self) -> bool:
        """Whether this orchestrator may act now."""
        return self._clock() < self._until

    async def look(self) -> bool:
        """Claims or renews once. Never raises for a store that fails: `problem` has it."""
        asked = self._clock()
        try:
            claimed = await asyncio.get_running_loop().run_in_executor(self._store, self._state.claim)
        except StoreError as error:
            self.problem = error.line()
            return self.leads
        self.problem = ""
        self._until = asked + LEASE_MS / 1000 - MARGIN if claimed else 0.0
        return self.leads

    async def acquire(self, patience: float | None) -> bool:
        """Until it leads, or until `patience` seconds are over (None: for ever)."""
        until = None if patience is None else self._clock() + patience
        while not await self.look():
            if until is not None and self._clock() > until:
                return False
            await asyncio.sleep(PERIOD / 4)
        return True

    async def keep(self) -> None:
        """Renews until it has lost the lease; then returns."""
        while self.leads:
            await asyncio.sleep(PERIOD)
            await self.look()
