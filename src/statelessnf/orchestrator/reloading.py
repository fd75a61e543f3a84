"""A new deployment file for what runs: checked whole, then published, or rolled out, or refused; never half of it.

Rules go to running instances through the store. What an instance reads only when it starts makes a new revision, whose
instances replace the others one by one. Numbers, detection, scaling and further hosts are in force at once. Name,
function, store, switch and the hosts that are there cannot change while the deployment runs.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from contextlib import closing

from statelessnf.commands.reload import publish
from statelessnf.config import Deployment, parse_text
from statelessnf.errors import Refused
from statelessnf.orchestrator.controller import Controller
from statelessnf.orchestrator.drivers.choice import make_driver
from statelessnf.orchestrator.section import OrchestratorSection, orchestration
from statelessnf.orchestrator.wishes import Wishes
from statelessnf.pipe_options import check_change, tables_of
from statelessnf.publishing import Publications
from statelessnf.store.url import StoreUrl

FIXED = ("api", "beats", "store", "steering")  # keys of [orchestrator]


class Reloading:
    """`deployment`: as it is now. `address`: of the instances' store; None for the baseline."""

    def __init__(
        self,
        controller: Controller,
        deployment: Deployment,
        address: StoreUrl | None,
        store: Executor,
        wishes: Wishes,
    ) -> None:
        self.deployment = deployment
        self._controller, self._address, self._store, self._wishes = controller, address, store, wishes

    async def reload(self, text: str) -> int:
        """The revision after it. Raises ConfigError, Refused, FunctionError, StoreError: then nothing has changed."""
        after = parse_text(text, self.deployment.path)
        section = orchestration(after)
        self._check(after, section)
        if self._address is not None and after.section != self.deployment.section:
            await asyncio.get_running_loop().run_in_executor(self._store, self._publish, after)
        replace = self._needs_new_instances(after)
        self.deployment = after
        return self._wishes.redeploy(section, text, after.instance.pipes, replace=replace)

    def _check(self, after: Deployment, section: OrchestratorSection) -> None:
        before = self.deployment
        if (after.name, after.function_class) != (before.name, before.function_class):
            raise _refused("its name or function", "function")
        if after.store != before.store:
            raise _refused("its store", "store")
        stands = self._controller.section
        for key in FIXED:
            if getattr(section, key) != getattr(stands, key):
                raise _refused(f"orchestrator.{key}", f"orchestrator.{key}")
        if section.hosts[: len(stands.hosts)] != stands.hosts:
            raise _refused("hosts that are there (further ones may be added behind them)", "orchestrator.hosts")
        for host in section.hosts[len(stands.hosts) :]:
            make_driver(host, after.name)  # raises ConfigError for what cannot be
        check_change(after.function_class, before.settings, after.settings, str(after.path))
        tables_of(after.function_class, after.settings)

    def _publish(self, after: Deployment) -> None:
        assert self._address is not None
        with closing(Publications(self._address, after.name)) as publications:
            publish(publications, after)

    def _needs_new_instances(self, after: Deployment) -> bool:
        """Whether anything but what is published, or the orchestrator's own, is different."""
        before = self.deployment
        if self._address is None and after.section != before.section:
            return True
        rest = {"orchestrator"}
        return after.model_dump(exclude=rest) != before.model_dump(exclude=rest)


def _refused(what: str, where: str) -> Refused:
    return Refused(f"{what} cannot change while the deployment runs", where, "snf down, and snf up with the new file")
