"""The controller: observe, plan, apply, whenever something has happened and some times a second besides.

As long as all is as wanted, it reads what the pipes count, and plans, each CALM seconds; otherwise each PERIOD.

Steering goes first and waits for nothing. What follows from an instance's end or silence is planned within the very
callback that noticed it; starts and ends are tasks of their own (launching.py), and so is the switch (steersman.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from statelessnf.errors import SteeringError
from statelessnf.orchestrator.drivers.driver import BeatOrder
from statelessnf.orchestrator.events import Events
from statelessnf.orchestrator.host_watch import WatchedHost
from statelessnf.orchestrator.journal import Journal
from statelessnf.orchestrator.known import Known
from statelessnf.orchestrator.launching import Launcher
from statelessnf.orchestrator.levels import Ladder, Level
from statelessnf.orchestrator.model import Action, Desired, Forget, Health, Kill, Observed, Start, Steer, Stop
from statelessnf.orchestrator.plan import due, plan
from statelessnf.orchestrator.scaling import Scaling, decide
from statelessnf.orchestrator.section import OrchestratorSection
from statelessnf.orchestrator.sightings import Sightings
from statelessnf.orchestrator.start_patience import StartPatience
from statelessnf.orchestrator.state import Entry, Kept
from statelessnf.orchestrator.steering.steering import Steering
from statelessnf.orchestrator.steersman import Steersman
from statelessnf.orchestrator.suspicion import Change
from statelessnf.orchestrator.switch_news import SwitchNews
from statelessnf.orchestrator.vigil import Vigil

PERIOD = 0.1  # seconds between two turns when nothing happens but something is on its way
CALM = 0.5  # the same when nothing is
TRAFFIC_PERIOD = 1.0  # seconds between two readings of the switch's counters


class Controller:
    """Of one deployment. `pipes`: of each instance at least; `leads`: whether this orchestrator may act now."""

    def __init__(
        self,
        name: str,
        section: OrchestratorSection,
        pipes: int,
        kept: Kept,
        hosts: Mapping[str, WatchedHost],
        steering: Steering,
        journal: Journal,
        events: Events,
        leads: Callable[[], bool],
    ) -> None:
        self._leads = leads
        self.kept, self.hosts, self.events, self.journal = kept, hosts, events, journal
        self.sightings = Sightings(name, hosts, steering, section.detection.limit_ms / 1000)
        self.follow(section, pipes)
        self.launcher = Launcher(self.sightings.known, hosts, journal, events, self.know, self.sightings.forget)
        self.steersman = Steersman(steering, self.sightings.member, self._steered, kept.members or None, leads)
        self._switch_news = SwitchNews(steering, events)
        self.traffic: dict[str, int] = {}  # packets given to each instance
        self.settled = False
        self._start_patience = StartPatience()
        self._stirred = asyncio.Event()  # something was begun
        self._planned: tuple[Desired, Observed, float] | None = None  # that had no actions, and until when that holds
        self._loop = asyncio.get_running_loop()
        self.vigil = Vigil(self.sightings, self._changed)

    def follow(self, section: OrchestratorSection, pipes: int) -> None:
        """What the deployment file says, from now on."""
        self.section, self.pipes = section, pipes
        self.sightings.capacity = section.scaling.capacity / pipes
        self.sightings.suspicion.limit = section.detection.limit_ms / 1000
        self.kept = self.kept.model_copy(update={"pipes": self.ladder.pipes(self.kept.pipes)})
        self.scaling = Scaling(self.kept.size, self.kept.pipes)

    @property
    def ladder(self) -> Ladder:
        """The levels that the deployment file allows."""
        section = self.section
        return Ladder(section.minimum, section.maximum, self.pipes, section.scaling.most_pipes or self.pipes)

    def know(self, entry: Entry) -> Known:
        """An instance that is about to be started, or one of a predecessor's; `adopt` finds out whether that runs."""
        entry = entry.model_copy(update={"pipes": entry.pipes or self.pipes})
        known = self.sightings.add(entry, self._loop.time(), adopted=bool(entry.handle))
        known.awaited = None if entry.handle else self._loop.time()
        return known

    async def adopt(self, host: WatchedHost) -> None:
        """Takes over what runs on that host; disturbs nothing."""
        for known in self.sightings.known:
            entry = known.entry
            if entry.host != host.section.name or known.ended is not None:
                continue
            if await host.driver.adopt(entry.name, entry.handle):
                self.events.tell("adopt", f"it runs on {entry.host}, slot {entry.slot}", entry.name)
                host.driver.watch_pipes(entry.name, self.doomed)
            else:
                self.ended(entry.name, "it had ended before it could be adopted")

    async def run(self) -> None:
        """Until it is cancelled."""
        self.vigil.begin()
        try:
            while True:
                self.vigil.read()
                self.turn()
                await self._pause()
        finally:
            self.vigil.end()

    async def _pause(self) -> None:
        """Until the next turn is due. Turns that are taken meanwhile may begin something: then it is due sooner."""
        self._stirred.clear()
        if self._calm:
            with suppress(TimeoutError):
                async with asyncio.timeout(CALM - PERIOD):
                    await self._stirred.wait()
        await asyncio.sleep(PERIOD)

    @property
    def _calm(self) -> bool:
        """Nothing but a change of the load can make a difference, and none is on its way."""
        return self.settled and self.scaling.high_since is None

    def ended(self, name: str, why: str) -> None:
        """A driver says that an instance has ended."""
        now = self._loop.time()
        before = self.sightings.worked(name, now)
        known = self.sightings.ended(name, why, now)
        if known is None:
            return
        if not known.ending and known.entry.host in self.hosts:
            self.hosts[known.entry.host].failed(f"{name} ended: {why}", now, before)
        self.events.tell("end", why, name)
        self.turn()

    def doomed(self, name: str) -> None:
        """A driver says that a pipe of the instance has ended: the instance will, too."""
        known = self.sightings.known.get(name)
        if known is None or known.ending:
            return
        if self.sightings.suspicion.doom(name, self._loop.time()) is not None:
            self.events.tell("suspect", "a pipe of it has ended", name)
            self.turn()

    def switch_changed(self) -> None:
        """The switch has come or gone, or one of its ports, or its rules had to be mended."""
        self._switch_news.look()
        self.sightings.switch_changed(self._loop.time())
        self.turn()

    def turn(self) -> None:
        """Observe, plan, apply: once, now; nothing as soon as another orchestrator may lead."""
        if not self._leads():
            return
        observed = self.observe()
        self._scale(observed)
        desired = self.desired()
        actions = () if self._unchanged(desired, observed) else self._plan(desired, observed)
        self.settled = not actions and self._still(observed)
        if not self._calm:
            self._stirred.set()
        for action in actions:
            self._apply(action)

    def _plan(self, desired: Desired, observed: Observed) -> tuple[Action, ...]:
        actions = plan(desired, observed)
        self._planned = None if actions else (desired, observed, due(desired, observed))
        return actions

    def _unchanged(self, desired: Desired, observed: Observed) -> bool:
        """The last plan had nothing to do and would be the same now."""
        if self._planned is None:
            return False
        wanted, seen, until = self._planned
        return observed.now < until and wanted == desired and replace(seen, now=observed.now) == observed

    def _still(self, observed: Observed) -> bool:
        """As many carry as are wanted, and nothing is on its way."""
        carry = len(observed.steered or ()) == self.kept.size
        live = all(one.health is Health.live for one in observed.instances)
        return carry and live and self.steersman.settled and not self.launcher.busy

    def observe(self) -> Observed:
        """Everything that is known."""
        now = self._loop.time()
        hosts = tuple(host.seen() for host in self.hosts.values())
        return Observed(now, hosts, tuple(self.sightings.all(now)), self.steersman.steered)

    def desired(self) -> Desired:
        """What the operator and the scaling policy want now."""
        section = self.section
        return Desired(
            size=self.kept.size,
            spares=section.spares,
            minimum=section.minimum,
            maximum=section.maximum,
            revision=self.kept.revision,
            pipes=self.kept.pipes,
            start_seconds=self._start_patience.seconds,
        )

    def keep(self, **changes: object) -> None:
        """Something of the deployment is different from now on."""
        self.kept = self.kept.model_copy(update=changes)
        self.journal.keep(self.kept)

    async def watch_traffic(self) -> None:
        """Reads the switch's counters, until it is cancelled."""
        while True:
            await asyncio.sleep(TRAFFIC_PERIOD)
            try:
                counts = await self.steersman.steering.traffic()
            except SteeringError:
                continue  # the steersman tells
            members = {known.entry.name: self.sightings.member(known.entry.name) for known in self.sightings.known}
            self.traffic = {
                name: counts.get(member.inside, 0) + counts.get(member.outside, 0)
                for name, member in members.items()
                if member is not None
            }

    def _changed(self, changes: Sequence[Change]) -> None:
        """Somebody lives, or is silent."""
        for change in changes:
            self._tell(change)
        self.turn()

    def _tell(self, change: Change) -> None:
        """Silence is no news of an instance that was told to end."""
        known = self.sightings.known[change.name]
        if change.health is Health.live:
            host = self.hosts[known.entry.host]
            host.worked()
            host.driver.watch_pipes(change.name, self.doomed)
            self.events.tell("live", "its pipes beat", change.name)
            if known.awaited is not None:
                self._start_patience.heard(self._loop.time() - known.awaited)
                known.awaited = None
        elif not known.ending:
            silence = f"pipe {change.pipe} has been silent for {change.seconds * 1000:.1f} ms"
            self.events.tell("suspect", silence, change.name)

    def _apply(self, action: Action) -> None:
        match action:
            case Steer(members):
                self.steersman.steer(members)
            case Start(place):
                detection = self.section.detection
                beats = BeatOrder(targets=self.kept.beats, token="", interval_ms=detection.beat_ms)
                self.launcher.start(place, self.kept, beats)
            case Stop(name, why):
                self.launcher.stop(name, why)
            case Kill(name, why):
                self._given_up(self.sightings.known[name], why)
                self.launcher.kill(name, why)
            case Forget(name):
                self.journal.remove(name)
                self.sightings.forget(name)

    def _given_up(self, known: Known, why: str) -> None:
        """Shown as its host's problem until one is heard there: what would be wrong stands in its log, if anything."""
        if known.awaited is not None and known.entry.host in self.hosts:
            self._start_patience.given_up(self._loop.time() - known.awaited)
            patience = f"the next one is given {self._start_patience.seconds:g} s"
            self.hosts[known.entry.host].problem = f"host {known.entry.host}: {known.entry.name}: {why}; {patience}"

    def _steered(self, members: Sequence[str], milliseconds: float) -> None:
        self.keep(members=tuple(members))
        self.events.tell("steer", f"traffic goes to {', '.join(members) or 'nobody'} ({milliseconds:.1f} ms)")

    def _scale(self, observed: Observed) -> None:
        section = self.section
        if self.kept.fixed or not section.scaling.enabled:
            return
        before = Level(self.kept.size, self.kept.pipes)
        self.scaling = decide(self.scaling, section.scaling, self.ladder, observed)
        after = self.scaling.level
        if after != before:
            self.keep(size=after.size, pipes=after.pipes)
            self.events.tell("scale", f"from {before.beside(after)} to {after.beside(before)}: {self.scaling.why}")
