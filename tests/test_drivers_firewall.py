"""The real thing under each driver: a firewall on AF_XDP beats, lets a request through, and ends.

Beats leave by an interface of their own, whose address goes along into the container.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from ipaddress import IPv4Interface

import pytest

from driver_worlds import IMAGE, Ends
from statelessnf.builder import build
from statelessnf.find import find_function
from statelessnf.lab.instances import write_deployment
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, add_address, connect
from statelessnf.lab.topology import Topology
from statelessnf.lab.web import answers, make_files, web_server
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.beats import decode
from statelessnf.orchestrator.drivers.docker import DockerDriver
from statelessnf.orchestrator.drivers.driver import BeatOrder, Driver, Launch, Order, Slot
from statelessnf.orchestrator.drivers.process import ProcessDriver
from statelessnf.store.embedded import embedded_store

pytestmark = pytest.mark.root

CONTROL, BEATS = IPv4Interface("192.0.2.1/24"), IPv4Interface("192.0.2.2/24")
PORTS = {"inside": "net_af_xdp0,iface=inside", "outside": "net_af_xdp1,iface=outside"}
PATIENCE = 30.0  # seconds; a busy machine
TOKEN = "5a" * 16


class Stage:
    """Clients, a place for one instance, a web server; and the orchestrator's end of the link for beats."""

    def __init__(self, stack: ExitStack) -> None:
        build(find_function("firewall"))
        lab = stack.enter_context(Lab())
        self.topology = stack.enter_context(Topology(lab, 1))
        self.home: Namespace = self.topology.instances[0]
        control = lab.namespace("control")
        connect(Interface(self.home, "beats"), Interface(control, "beats"))
        add_address(Interface(self.home, "beats"), BEATS)
        add_address(Interface(control, "beats"), CONTROL)
        with control.entered():
            self.listener = stack.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        self.listener.bind((str(CONTROL.ip), 0))
        self.listener.settimeout(PATIENCE)
        make_files(lab.folder / "files", 1000, 1)
        stack.enter_context(web_server(self.topology.server, self.topology.server_address, lab.folder))
        stack.enter_context(embedded_store(lab.folder / "run"))
        self.document = write_deployment(lab.folder, "embedded").read_text()
        self.topology.steer("packet", [0])

    def launch(self, interfaces: tuple[str, ...]) -> Launch:
        target = f"{CONTROL.ip}:{self.listener.getsockname()[1]}"
        beats = BeatOrder(targets=(target,), token=TOKEN)
        order = Order(name="wall-1", revision=1, pipes=1, beats=beats, **PORTS)
        slot = Slot(
            **PORTS, switch_inside="in0", switch_outside="out0", namespace=self.home.name, interfaces=interfaces
        )
        return Launch(order, self.document, slot, 0)

    def wait_beat(self) -> None:
        """Until the instance says that it has its store."""
        while (beat := decode(self.listener.recv(256))) is None or not beat.available:
            assert beat is None or beat.token.hex() == TOKEN

    def passes(self) -> bool:
        return answers(self.topology.clients, self.topology.server_address, 5.0)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack)


async def play(stage: Stage, driver: Driver, interfaces: tuple[str, ...]) -> str:
    """Why it ended."""
    ends = Ends()
    await driver.open(ends)
    try:
        await driver.start(stage.launch(interfaces))
        await asyncio.to_thread(stage.wait_beat)
        assert await asyncio.to_thread(stage.passes)
        assert not ends.seen
        await driver.kill("wall-1")
        return (await ends.next())[1]
    finally:
        await driver.close()


def test_as_a_process(stage: Stage) -> None:
    assert "killed by SIGKILL" in asyncio.run(play(stage, ProcessDriver(), ()))


def test_as_a_container(stage: Stage, engine: str) -> None:
    why = asyncio.run(play(stage, DockerDriver(IMAGE, engine), ("inside", "outside", "beats")))
    assert "killed by SIGKILL" in why
