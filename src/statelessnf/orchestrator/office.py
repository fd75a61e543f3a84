"""The face of a running orchestrator (face.py): what it shows, taken from the controller at the moment of asking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from difflib import get_close_matches
from typing import Any

from statelessnf.config import Deployment
from statelessnf.errors import NotFound, NotLeader, Refused, SteeringError
from statelessnf.orchestrator.controller import Controller
from statelessnf.orchestrator.face import (
    DeploymentDocument,
    EventDocument,
    HostDocument,
    InstanceDocument,
    LoadDocument,
    SteeringDocument,
)
from statelessnf.orchestrator.known import Known
from statelessnf.orchestrator.leader import Leadership
from statelessnf.orchestrator.model import Load, Sighting
from statelessnf.orchestrator.reloading import Reloading
from statelessnf.orchestrator.wishes import Wishes


class Office:
    """See `Face`. `figures`: what instances count, by name; `ended`: called when the deployment is down."""

    def __init__(
        self,
        controller: Controller,
        leadership: Leadership,
        reloading: Reloading,
        wishes: Wishes,
        figures: Callable[[], dict[str, dict[str, Any]]],
    ) -> None:
        self._controller, self._leadership, self._reloading = controller, leadership, reloading
        self._wishes, self._figures = wishes, figures
        self.over = asyncio.Event()  # the deployment is down

    @property
    def _deployment(self) -> Deployment:
        return self._reloading.deployment

    def deployment(self) -> DeploymentDocument:
        """See `Face`."""
        controller, deployment = self._controller, self._deployment
        desired = controller.desired()
        return DeploymentDocument(
            name=deployment.name,
            function=deployment.function_class.name,
            revision=desired.revision,
            leader=self._leadership.leads,
            size=desired.size,
            pipes=desired.pipes,
            minimum=desired.minimum,
            maximum=desired.maximum,
            spares=desired.spares,
            scaling=controller.section.scaling.enabled and not controller.kept.fixed,
            settled=controller.settled,
            store=deployment.store.address.shown(),
            problem=self._problem(),
        )

    def instances(self) -> list[InstanceDocument]:
        """See `Face`."""
        controller, figures = self._controller, self._figures()
        now = asyncio.get_running_loop().time()
        seen = {sighting.name: sighting for sighting in controller.observe().instances}
        return [self._instance(known, seen[name], figures.get(name, {}), now) for name, known in self._known(seen)]

    def hosts(self) -> list[HostDocument]:
        """See `Face`."""
        used = [known.entry.host for known in self._controller.sightings.known]
        documents = []
        for host in self._controller.hosts.values():
            section, capacity = host.section, host.capacity
            documents.append(
                HostDocument(
                    name=section.name,
                    driver=section.driver,
                    reachable=host.reachable,
                    cores=[] if capacity is None else list(capacity.cores),
                    memory_mb=0 if capacity is None else capacity.memory_mb,
                    slots=len(section.slots),
                    used=used.count(section.name),
                    interfaces=[] if capacity is None else list(capacity.interfaces),
                    problem=host.trouble,
                    note=host.note,
                )
            )
        return documents

    def steering(self) -> SteeringDocument:
        """See `Face`."""
        steersman, section = self._controller.steersman, self._controller.section.steering
        return SteeringDocument(
            kind=section.kind,
            connected=steersman.steering.connected,
            spread=section.spread,
            members=list(steersman.steered or ()),
            traffic=dict(self._controller.traffic),
            problem=steersman.problem,
        )

    def events(self, after: int = 0, most: int = 1000) -> Sequence[EventDocument]:
        """See `Face`."""
        return self._controller.events.after(after, most)

    def follow(self, after: int) -> AsyncIterator[EventDocument]:
        """See `Face`."""
        return self._controller.events.follow(after)

    async def scale(self, size: int | None) -> None:
        """See `Face`."""
        self._check_leads()
        self._wishes.resize(size)

    async def drain(self, name: str, drained: bool) -> None:
        """See `Face`."""
        self._check_leads()
        self._wishes.drain(self._named(name).entry.name, drained)

    async def kill(self, name: str) -> None:
        """See `Face`."""
        self._check_leads()
        if self._named(name).ended is not None:
            raise Refused("the instance has ended already", name, "see snf status")
        self._controller.launcher.strike(name)

    async def reload(self, text: str) -> int:
        """See `Face`."""
        self._check_leads()
        return await self._reloading.reload(text)

    async def down(self) -> None:
        """See `Face`."""
        self._check_leads()
        try:
            await self._wishes.down()
        except SteeringError as error:
            self.over.set()
            what = f"all instances have ended; what the switch has of the deployment stays: {error.what}"
            raise SteeringError(what, error.where, error.do) from error
        self.over.set()

    def _known(self, seen: dict[str, Sighting]) -> list[tuple[str, Known]]:
        order = sorted(self._controller.sightings.known, key=lambda known: (known.place, known.entry.name))
        return [(known.entry.name, known) for known in order if known.entry.name in seen]

    def _instance(self, known: Known, seen: Sighting, figures: dict[str, Any], now: float) -> InstanceDocument:
        return InstanceDocument(
            name=seen.name,
            host=seen.place.host,
            slot=seen.place.slot,
            revision=seen.revision,
            pipes=seen.pipes,
            health=seen.health.value,
            health_seconds=round(now - seen.since, 3),
            steered=seen.name in (self._controller.steersman.steered or ()),
            drained=seen.drained,
            faults=seen.faults,
            load=_shown(seen.load),
            beats=known.beats,
            figures=figures,
        )

    def _named(self, name: str) -> Known:
        known = self._controller.sightings.known.get(name)
        if known is None:
            names = [known.entry.name for known in self._controller.sightings.known]
            near = get_close_matches(name, names, 1)
            do = f"did you mean {near[0]}?" if near else f"instances are: {', '.join(names) or 'none'}"
            raise NotFound(f"there is no instance {name!r}", self._deployment.name, do)
        return known

    def _check_leads(self) -> None:
        if not self._leadership.leads:
            why = f" ({self._leadership.problem})" if self._leadership.problem else ""
            raise NotLeader(
                f"this orchestrator does not lead now{why}", self._deployment.name, "try again in some seconds"
            )

    def _problem(self) -> str:
        controller = self._controller
        problems = [self._leadership.problem, controller.steersman.problem, controller.journal.problem]
        problems += [host.problem for host in controller.hosts.values()]
        if not controller.settled:  # then it may be why
            problems += [host.trouble for host in controller.hosts.values()]
        return next((problem for problem in problems if problem), "")


def _shown(load: Load | None) -> LoadDocument:
    load = load or Load()
    return LoadDocument(
        utilisation=round(load.utilisation, 4),
        receive_drops=round(load.receive_drops, 1),
        latency_us=round(load.latency_us, 1),
        packets=round(load.packets, 1),
    )
