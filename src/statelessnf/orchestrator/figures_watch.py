"""What the instances count, read from the store once a second: for the face, never for a decision."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from contextlib import closing
from typing import Any

from statelessnf.errors import StoreError
from statelessnf.publishing import Publications
from statelessnf.store.url import StoreUrl

PERIOD = 1.0  # seconds


class FiguresWatch:
    """`address`: of the instances' store; None: they have none, and so nothing is known."""

    def __init__(self, address: StoreUrl | None, deployment: str, store: Executor) -> None:
        self._address, self._deployment, self._store = address, deployment, store
        self._figures: dict[str, dict[str, Any]] = {}

    def __call__(self) -> dict[str, dict[str, Any]]:
        """By name of the instance."""
        return self._figures

    async def run(self) -> None:
        """Until it is cancelled."""
        if self._address is None:
            return
        loop = asyncio.get_running_loop()
        with closing(Publications(self._address, self._deployment)) as publications:
            while True:
                try:
                    self._figures = await loop.run_in_executor(self._store, publications.figures)
                except StoreError:
                    self._figures = {}  # the journal tells of a store that fails
                await asyncio.sleep(PERIOD)
