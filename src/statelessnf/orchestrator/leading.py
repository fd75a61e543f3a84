"""What an orchestrator does while it leads: everything is opened, runs side by side, and is closed in the end.

Instances are adopted before anything is planned. A host or a switch that cannot be opened now is tried again, and shown
as a problem; what is our own, such as a busy port of the API, ends the orchestrator with an error.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing, suppress

from statelessnf.api.access import Access, announced, standing_token
from statelessnf.api.app import make_app
from statelessnf.api.server import listening, serve
from statelessnf.config import Deployment
from statelessnf.errors import DriverError, NotLeader, OrchestratorError, Refused, SnfError, SteeringError, StoreError
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.beat_listener import BeatListener
from statelessnf.orchestrator.controller import Controller
from statelessnf.orchestrator.drivers.choice import make_driver
from statelessnf.orchestrator.events import Events
from statelessnf.orchestrator.figures_watch import FiguresWatch
from statelessnf.orchestrator.host_watch import WatchedHost
from statelessnf.orchestrator.journal import Journal
from statelessnf.orchestrator.leader import Leadership
from statelessnf.orchestrator.office import Office
from statelessnf.orchestrator.reloading import Reloading
from statelessnf.orchestrator.section import OrchestratorSection, orchestration
from statelessnf.orchestrator.side_by_side import run_until_first
from statelessnf.orchestrator.state import Entry, Kept, State
from statelessnf.orchestrator.steering.kinds import steering_of
from statelessnf.orchestrator.steering.steering import Member, Steering
from statelessnf.orchestrator.wishes import Wishes
from statelessnf.owned import deployment_mac
from statelessnf.records.stored import StoredRecords
from statelessnf.store.url import StoreUrl

AGAIN = 1.0  # seconds until the switch is tried again


class Lead:
    """One time of leading. `deployment`: as the store has it; `shared`: its instances' store, None for the baseline."""

    def __init__(
        self,
        deployment: Deployment,
        kept: Kept,
        events: Events,
        state: State,
        store: Executor,
        shared: StoreUrl | None,
        leadership: Leadership,
    ) -> None:
        section = orchestration(deployment)
        self._deployment, self._state, self._store, self._leadership = deployment, state, store, leadership
        self._events, self._journal = events, Journal(state, store, events)
        self._hosts = {one.name: WatchedHost(one, make_driver(one, deployment.name)) for one in section.hosts}
        self._steering = _steering(section, deployment, state.store)
        pipes = deployment.instance.pipes
        self.controller = Controller(
            deployment.name,
            section,
            pipes,
            kept,
            self._hosts,
            self._steering,
            self._journal,
            events,
            lambda: leadership.leads,
        )
        self._listener = BeatListener(self.controller.vigil.heard, self._knows)
        self.controller.vigil.listen(self._listener)
        self._figures = FiguresWatch(shared, deployment.name, store)
        wishes = Wishes(self.controller)
        self._reloading = Reloading(self.controller, deployment, shared, store, wishes)
        self._office = Office(self.controller, leadership, self._reloading, wishes, self._figures)
        self._records = None if shared is None else StoredRecords(deployment, shared)

    async def run(self, entries: Sequence[Entry], stop: asyncio.Event, text: str) -> bool:
        """Until `stop`, or until the deployment is down (True), or until another orchestrator leads (False).

        `text`: of the deployment file as the operator has it now. Raises SnfError for what can never work.
        """
        with ExitStack() as stack:
            api = stack.enter_context(closing(listening(self.controller.section.api)))  # before anything is started
            _check_rights(self.controller.section)
            self.controller.keep(beats=self._listen(stack))
            for entry in entries:
                self.controller.know(entry)
            await asyncio.gather(*(self._open_host(host) for host in self._hosts.values()))
            try:  # the API outlives the work: nobody asks it in vain until all is closed and, after down, forgotten
                await run_until_first({"work": self._work(stop, text)}, {"api": self._serve(api)})
            except NotLeader:
                return False
            return True

    def _knows(self, token: bytes) -> bool:
        return self.controller.sightings.known.name_of(token) is not None

    def _listen(self, stack: ExitStack) -> tuple[str, ...]:
        """Where the predecessor listened, since running instances send their beats there.

        Addresses of other machines are those of other orchestrators. Raises OrchestratorError if none is ours.
        """
        wanted = self.controller.kept.beats or self.controller.section.beats
        addresses, ours, problem = [], 0, None
        for endpoint in wanted:
            try:
                addresses.append(stack.enter_context(self._listener.on(endpoint)))
                ours += 1
            except OrchestratorError as error:
                addresses.append(endpoint)
                problem = error
        if problem is not None and ours == 0:
            raise problem
        return tuple(addresses)

    async def _work(self, stop: asyncio.Event, text: str) -> None:
        """Raises NotLeader once another orchestrator leads, Refused if we may not steer the switch."""
        try:
            opened = await self._open_switch()
            ended = await self._until_over(stop, text, opened)
        finally:
            await self._close()
        if ended == "down":
            await asyncio.get_running_loop().run_in_executor(self._store, self._state.erase)
        if ended == "lease":
            raise NotLeader("this orchestrator's lease has run out", self._deployment.name, "see snf status")

    async def _until_over(self, stop: asyncio.Event, text: str, opened: bool) -> str:
        services = {
            "controller": self.controller.run(),
            "sweep": self._sweep_all(),
            "steering": self._steer(opened),
            "traffic": self.controller.watch_traffic(),
            "hosts": self._watch_hosts(),
            "figures": self._figures.run(),
            "file": self._take_file(text),
        }
        ends = {
            "stop": stop.wait(),
            "down": self._office.over.wait(),
            "lease": self._leadership.keep(),
            "journal": self._journal.run(),
        }
        return await run_until_first(ends, services)

    async def _open_host(self, host: WatchedHost) -> None:
        """Opens its driver, and adopts what runs there. A host that cannot be reached is tried again later."""
        try:
            await host.driver.open(self.controller.ended)
        except DriverError as error:
            host.problem = error.line()
        else:
            await self._measure(host)

    async def _measure(self, host: WatchedHost) -> None:
        await host.measure()
        if host.measured:
            for told in filter(None, (host.trouble, host.note)):
                self._events.tell("host", told)
            try:
                await self.controller.adopt(host)
            except DriverError as error:
                host.problem = error.line()

    async def _sweep_all(self) -> None:
        await asyncio.gather(*(self._sweep(host) for host in self._hosts.values()))

    async def _sweep(self, host: WatchedHost) -> None:
        """Ends what runs there and nobody knows of: it would stand in the way of those that we start."""
        if not host.measured:
            return
        known = self.controller.sightings.known
        try:
            found = await host.driver.sweep(self.controller.kept.text, lambda name: name in known)
        except DriverError as error:
            host.problem = error.line()
            return
        for name in found:
            self._events.tell("sweep", f"ended on {host.section.name}: the store knows nothing of it", name)

    async def _watch_hosts(self) -> None:
        """Hosts that come (back) are measured, and what runs there is adopted; hosts that a reload names are opened."""
        while True:
            await asyncio.sleep(AGAIN)
            for section in self.controller.section.hosts[len(self._hosts) :]:
                host = self._hosts[section.name] = WatchedHost(section, make_driver(section, self._deployment.name))
                await self._open_host(host)
            for host in self._hosts.values():
                if not host.measured and host.driver.reachable:
                    await self._measure(host)
                    await self._sweep(host)

    async def _open_switch(self) -> bool:
        """Whether it is open now. Raises Refused if we may not steer it; then nothing is to be started."""
        try:
            await self._steering.open(self.controller.switch_changed)
        except SteeringError as error:
            self.controller.steersman.problem = error.line()
            return False
        return True

    async def _steer(self, opened: bool) -> None:
        """Until the switch is open; then it is told what it was told last, and watched."""
        steersman = self.controller.steersman
        while not opened:
            await asyncio.sleep(AGAIN)
            try:
                opened = await self._open_switch()
            except Refused as error:  # instances run by now, and are to be taken down in order
                steersman.problem = error.line()
        steersman.opened()
        self.controller.switch_changed()
        await steersman.run()

    async def _serve(self, listener: socket.socket) -> None:
        """The API, and the file by which commands find it."""
        deployment = self._deployment
        token = standing_token(deployment.run_directory)
        app = make_app(self._office, token, self._records)
        with ExitStack() as stack:

            def ready(address: str) -> None:
                stack.enter_context(announced(deployment.run_directory, Access(api=address, token=token)))

            if self._records is not None:
                stack.callback(self._records.close)
            await serve(app, listener, ready)

    async def _take_file(self, text: str) -> None:
        """The operator's file may say something else than what runs: that is a reload. What is refused is told."""
        if text == self.controller.kept.text:
            return
        try:
            await self._reloading.reload(text)
        except SnfError as error:
            self._events.tell("reload-refused", error.line())

    async def _close(self) -> None:
        await self.controller.launcher.close()
        with suppress(StoreError, NotLeader):  # the successor finds what is there
            await self._journal.flush()
        await self._steering.close()
        for host in self._hosts.values():
            await host.driver.close()


def _check_rights(section: OrchestratorSection) -> None:
    """Raises Refused where this user may not enter the namespace of a slot; one that is missing is told by a start."""
    local = [host for host in section.hosts if host.driver == "process" and not host.address]
    for name in dict.fromkeys(slot.namespace for host in local for slot in host.slots if slot.namespace is not None):
        try:
            with Namespace(name).entered():
                pass
        except PermissionError as error:
            what = f"this user may not start instances in a namespace: {error.strerror}"
            raise Refused(what, f"namespace {name}", "run it as root (CAP_NET_ADMIN, CAP_SYS_ADMIN)") from error
        except OSError:
            continue


def _steering(section: OrchestratorSection, deployment: Deployment, owner: str) -> Steering:
    """Raises SteeringError for what its kind cannot do."""
    mac = deployment_mac(deployment.name) if deployment.function_class.rewrites else None
    places = [Member(slot.switch_inside, slot.switch_outside) for host in section.hosts for slot in host.slots]
    return steering_of(section.steering, deployment.name, mac, places, owner)
