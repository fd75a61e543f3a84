"""One orchestrator from its start to its end: it waits until it leads, then watches over the deployment.

One that loses its lease, because it was cut off from the store, stands by; its successor has the instances. One that is
stopped leaves everything as it is: instances and switch go on, and the next one adopts them.
"""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from statelessnf.api.access import ENDED
from statelessnf.config import Deployment, parse_text
from statelessnf.errors import NotLeader, Refused, StoreError, StoreUnavailable
from statelessnf.orchestrator.control_store import control_store
from statelessnf.orchestrator.events import Events
from statelessnf.orchestrator.leader import Leadership
from statelessnf.orchestrator.leading import Lead
from statelessnf.orchestrator.section import orchestration
from statelessnf.orchestrator.side_by_side import run_until_first
from statelessnf.orchestrator.state import LEASE_MS, Entry, Kept, State
from statelessnf.store.url import StoreUrl

Say = Callable[[str], None]


class Orchestrator:
    """`deployment`, `text`: of the file, as the operator has it now. `stop`: set from outside when it is to end."""

    def __init__(self, deployment: Deployment, text: str, say: Say) -> None:
        """Raises ConfigError."""
        self._deployment, self._text, self._say = deployment, text, say
        self._section = orchestration(deployment)
        self._me = f"{platform.node()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.stop = asyncio.Event()

    async def run(self, *, standby: bool) -> None:
        """Until `stop`, or until the deployment was taken down.

        Raises Refused if another orchestrator leads and this one is not to stand by; SnfError for what cannot work.
        """
        with control_store(self._deployment, self._section) as (own, shared), ThreadPoolExecutor(1) as store:
            state = State(own, self._deployment.name, self._me)
            try:
                while await self._lead_once(state, store, shared, standby):
                    standby = True
            finally:
                await _resign(state, store)
        self._say(f"{self._deployment.name}: {ENDED}")

    async def _lead_once(self, state: State, store: Executor, shared: StoreUrl | None, standby: bool) -> bool:
        """Waits until it leads, and leads. Whether it has to stand by then."""
        leadership = Leadership(state, store)
        if not await self._acquire(leadership, state, store, standby):
            return False
        loop = asyncio.get_running_loop()
        kept, entries, events = await loop.run_in_executor(store, self._load, state)
        deployment = parse_text(kept.text, Path(kept.path))
        events.tell("lead", f"orchestrator {self._me} leads")
        self._say(f"{deployment.name}: this orchestrator leads; {len(entries)} instances are there to be adopted")
        lead = Lead(deployment, kept, events, state, store, shared, leadership)
        over = await lead.run(entries, self.stop, self._text)
        if not over:
            self._say(f"{deployment.name}: this orchestrator leads no more{_why(leadership)}")
        return not over

    async def _acquire(self, leadership: Leadership, state: State, store: Executor, standby: bool) -> bool:
        """Whether it leads; False: it is to end. Raises Refused, StoreUnavailable."""
        patience = None if standby else LEASE_MS / 1000 + 1
        if standby and not await leadership.look():
            self._say(f"{self._deployment.name}: this orchestrator stands by{_why(leadership)}")
        ended = await run_until_first({"claim": leadership.acquire(patience), "stop": self.stop.wait()}, {})
        if ended == "stop" or leadership.leads:
            return ended == "claim"
        if leadership.problem:
            raise StoreUnavailable(leadership.problem)
        leader = await asyncio.get_running_loop().run_in_executor(store, state.leader)
        what = f"an orchestrator runs already for deployment {self._deployment.name!r} ({leader})"
        raise Refused(what, str(self._deployment.path), "to change the deployment: snf reload; to wait: --standby")

    def _load(self, state: State) -> tuple[Kept, Sequence[Entry], Events]:
        """What a predecessor has left; or a beginning, which stands in the store once something is begun.

        Raises StoreError.
        """
        kept = state.deployment()
        if kept is None:
            path = str(self._deployment.path.absolute())
            kept = Kept(revision=1, text=self._text, path=path, size=self._section.minimum)
        return kept, state.instances(), Events(state.events())


def _why(leadership: Leadership) -> str:
    return f": {leadership.problem}" if leadership.problem else ""


async def _resign(state: State, store: Executor) -> None:
    """So that the next one need not wait for the lease to run out."""
    loop = asyncio.get_running_loop()
    with suppress(StoreError, NotLeader):
        await loop.run_in_executor(store, state.resign)
    await loop.run_in_executor(store, state.close)
