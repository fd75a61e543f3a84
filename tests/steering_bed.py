"""A switch with clients, servers and three places for instances, whose steering is of either kind.

Nothing runs in the places: a test sends frames from the two sides and sees at whose interface they come out.
"""

from __future__ import annotations

import asyncio
import re
import select
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, Literal

from pyroute2 import IPRoute

from statelessnf.errors import SteeringError
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, connect
from statelessnf.lab.open_vswitch import OpenVSwitch
from statelessnf.lab.topology import Topology
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.steering.nftables import NftablesSteering
from statelessnf.orchestrator.steering.openflow import OpenflowSteering
from statelessnf.orchestrator.steering.steering import Member, Ports, Spread, Steering
from steering_frames import CLIENT_MAC, MAC, raw_socket

Kind = Literal["nftables", "openflow"]
Side = Literal["inside", "outside"]
PLACES = [Member(f"in{i}", f"out{i}") for i in range(3)]
DEPLOYMENTS: dict[str, tuple[Spread, str]] = {  # by name: spread, and the port of the clients
    "one": ("flow", "clients"),
    "two": ("direction", "clients"),
    "three": ("flow", "clients"),
    "wrong": ("flow", "nobody"),
    "other": ("flow", "clients2"),
}
CONTROLLERS = dict(zip(DEPLOYMENTS, range(6653, 6699), strict=False))  # TCP ports, in the bridge's namespace
QUIET_SECONDS = 0.1
ARRIVAL_SECONDS = 1.0  # without any frame of those that are expected


class Bed:
    """`with bed(kind) as it`: one switch for all tests of a module."""

    def __init__(self, stack: ExitStack, kind: Kind) -> None:
        self.kind = kind
        self._runner = asyncio.Runner()
        stack.callback(self.close)
        self.lab = stack.enter_context(Lab())
        self.topology = stack.enter_context(Topology(self.lab, len(PLACES)))
        self.switch = self.topology.switch
        connect(Interface(self.lab.namespace("others"), "eth0"), Interface(self.switch, "clients2"))
        self.deployments = {name: Steered(self.steering(name)) for name in DEPLOYMENTS}
        self._runner.run(self._open())  # before the bridge looks for them: later it looks every eight seconds
        self.open_vswitch: OpenVSwitch | None = None
        if kind == "openflow":
            ports = [
                "clients",
                "clients2",
                "server",
                *(port for place in PLACES for port in (place.inside, place.outside)),
            ]
            targets = [f"tcp:127.0.0.1:{port}" for port in CONTROLLERS.values()]
            self.open_vswitch = stack.enter_context(OpenVSwitch(self.switch, self.lab.folder / "ovs", ports, targets))
        self._sources = {"inside": raw_socket(self.topology.clients, "eth0")}
        self._sources["outside"] = raw_socket(self.topology.server, "eth0")
        self._sinks = {
            side: [raw_socket(namespace, side) for namespace in self.topology.instances] for side in self._sources
        }
        for endpoint in (*self._sources.values(), *(sink for sinks in self._sinks.values() for sink in sinks)):
            stack.callback(endpoint.close)

    def steering(self, name: str) -> Any:
        """The steering of a deployment, not open yet."""
        spread, clients = DEPLOYMENTS[name]
        ports, places = Ports(clients, "server", spread, MAC), () if name == "other" else PLACES
        if self.kind == "nftables":
            return NftablesSteering(ports, name, self.switch.name, places)
        where = f"127.0.0.1:{CONTROLLERS[name]}"
        return OpenflowSteering(ports, name, where, namespace=self.switch.name, places=places)

    async def _open(self) -> None:
        for steered in self.deployments.values():
            await steered.steering.open(steered.changed)

    def run(self, play: Coroutine[Any, Any, None]) -> None:
        """Plays it in the event loop that all tests of the switch share."""
        self._runner.run(play)

    @asynccontextmanager
    async def steered(self, members: Sequence[Member], name: str = "one") -> AsyncIterator[Steered]:
        """Connected, and with these members; in the end all is cleared. All tests have the same connection."""
        steered = self.deployments[name]
        await steered.until(lambda: steered.steering.connected)
        await steered.steering.steer(members)
        if self.open_vswitch is not None:  # what it has dropped since the test before would be dropped for a while yet
            await asyncio.to_thread(self.open_vswitch.forget_packets)
        try:
            yield steered
        finally:
            await steered.steering.clear()

    def close(self) -> None:
        """Closes all steerings."""
        with self._runner:
            for steered in self.deployments.values():
                self._runner.run(steered.steering.close())

    async def send(self, side: Side, frames: Sequence[bytes], expected: int | None = None) -> list[list[bytes]]:
        """What comes out at each place's port of that side, when the clients (inside) or servers send these.

        Waits for so many (None: all of them), and QUIET_SECONDS for others that must not come.
        """
        sinks = self._sinks[side]
        for frame in frames:
            self._sources[side].send(frame)
        return await asyncio.to_thread(taken, sinks, len(frames) if expected is None else expected)

    async def counts(self, side: Side, frames: Sequence[bytes], expected: int | None = None) -> list[int]:
        """How many of them come out at each place's port."""
        return [len(taken) for taken in await self.send(side, frames, expected)]

    async def becomes(self, side: Side, frames: Sequence[bytes], expected: list[int], seconds: float = 20.0) -> bool:
        """Whether `counts` is this before long: Open vSwitch confirms a change before all of its caches follow."""
        deadline = time.monotonic() + seconds
        while (found := await self.counts(side, frames, sum(expected))) != expected and time.monotonic() < deadline:
            pass
        return found == expected

    async def becomes_shared(self, side: Side, frames: Sequence[bytes], members: int, seconds: float = 20.0) -> bool:
        """Whether the first `members` places get a share of them each, and nobody else any, before long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = await self.counts(side, frames)
            if sum(found) == len(frames) == sum(found[:members]) and min(found[:members]) > 0:
                return True
        return False

    def send_from(self, place: int, side: Side, frame: bytes) -> bytes:
        """Sends from a place; returns what clients (inside) or servers get."""
        sink = self._sources[side]
        while select.select([sink], [], [], 0)[0]:
            sink.recv(2048)
        self._sinks[side][place].send(frame)
        while (got := sink.recv(2048))[6:12] != CLIENT_MAC:
            pass
        return got

    def flood(self, frames: Sequence[bytes], rate: int, seconds: float) -> int:
        """Sends from the clients, `rate` a second; returns how many."""
        started, sent = time.monotonic(), 0
        while (passed := time.monotonic() - started) < seconds:
            while sent < passed * rate:
                self._sources["inside"].send(frames[sent % len(frames)])
                sent += 1
            time.sleep(0.001)
        return sent

    def received(self) -> list[int]:
        """Packets that each place's inner interface has taken in since it was made."""
        counts = []
        for namespace in self.topology.instances:
            with namespace.entered(), IPRoute() as netlink:
                link = netlink.get_links(ifname="inside")[0]
                counts.append(link.get_attr("IFLA_STATS64")["rx_packets"])
        return counts

    def overrun(self) -> int:
        """Packets from the clients that waited for Open vSwitch until there was no room for more of them."""
        if self.open_vswitch is None:
            return 0
        command = ["ip", "netns", "exec", self.switch.name, "ss", "--packet", "--all", "--memory"]
        sockets = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        found = re.search(r"\*:clients .*?,d(\d+)\)", sockets, re.DOTALL)
        assert found is not None, sockets
        return int(found[1])

    async def settled(self, expected: int) -> int:
        """What all places have `received` once it is so much, or after a second without a change."""
        last, since = -1, time.monotonic()
        while last < expected and time.monotonic() < since + 1.0:
            now = sum(await asyncio.to_thread(self.received))
            last, since = now, since if now == last else time.monotonic()
        return last

    @asynccontextmanager
    async def unplugged(self, place: int) -> AsyncIterator[None]:
        """The far end of the place's inner link is down for the length of the block."""
        await asyncio.to_thread(set_link, self.topology.instances[place], "inside", "down")
        try:
            yield
        finally:
            await asyncio.to_thread(set_link, self.topology.instances[place], "inside", "up")


class Steered:
    """A steering that is open, and when it last said that something has changed."""

    def __init__(self, steering: Steering) -> None:
        self.steering: Any = steering
        self._event = asyncio.Event()

    def changed(self) -> None:
        self._event.set()

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Until it holds; looks after each change that the steering announces, and at no other time."""
        async with asyncio.timeout(seconds):
            while not condition():
                await self._event.wait()
                self._event.clear()


def taken(sinks: Sequence[socket.socket], expected: int) -> list[list[bytes]]:
    """What arrives, of what tests send: waits for so many, for a while, then QUIET_SECONDS for more."""
    found: list[list[bytes]] = [[] for _ in sinks]
    patience = ARRIVAL_SECONDS if expected else QUIET_SECONDS
    while ready := select.select(sinks, [], [], patience)[0]:
        for sink in ready:
            with suppress(OSError):  # ENETDOWN, once, where a test has pulled the plug
                frame = sink.recv(2048)
                if frame[6:12] == CLIENT_MAC:
                    found[sinks.index(sink)].append(frame)
        patience = QUIET_SECONDS if sum(map(len, found)) >= expected else ARRIVAL_SECONDS
    return found


def set_link(namespace: Namespace, name: str, state: Literal["up", "down"]) -> None:
    with namespace.entered(), IPRoute() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname=name)[0], state=state)


@contextmanager
def bed(kind: Kind) -> Iterator[Bed]:
    with ExitStack() as stack:
        yield Bed(stack, kind)


async def refusal(doing: Any) -> str:
    """The words of the SteeringError that it raises."""
    try:
        await doing
    except SteeringError as error:
        return str(error)
    raise AssertionError("nothing was refused")
