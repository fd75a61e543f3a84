"""What the contract suite of drivers runs on: each kind of driver, started as a test wants it, and all taken down."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import docker
import pytest
from pyroute2 import netns

from conftest import eventually
from running_agent import RunningAgent
from running_app import TOKEN
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.drivers.docker import DockerDriver
from statelessnf.orchestrator.drivers.docker_container import INSTANCE_LABEL
from statelessnf.orchestrator.drivers.driver import BeatOrder, Driver, Launch, Order, Slot
from statelessnf.orchestrator.drivers.local_image import make_local_image
from statelessnf.orchestrator.drivers.process import ProcessDriver
from statelessnf.orchestrator.drivers.remote import RemoteDriver
from statelessnf.processes import start_time

IMAGE = "snf-local"
STAND_IN = (sys.executable, "-S", str(Path(__file__).with_name("instance_stand_in.py")))
PATIENCE = 0.3  # seconds from SIGTERM to SIGKILL


def launch(folder: Path, name: str, behaviour: str = "plain", **more: Any) -> Launch:
    """A start of the stand-in; `more`: what else Launch has, and `slot`."""
    order = Order(name=name, revision=1, inside=behaviour, outside="o", pipes=1, beats=BEATS)
    document = f'name = "contract"\nfunction = "firewall"\n[instance]\nrun_directory = "{folder}"\n'
    slot = more.pop("slot", Slot(inside=behaviour, outside="o", switch_inside="i0", switch_outside="o0"))
    return Launch(order, document, slot, number=0, **more)


BEATS = BeatOrder(targets=("127.0.0.1:9",), token="0" * 32)


class Ends:
    """Collects what a driver reports."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self._news = asyncio.Event()

    def __call__(self, name: str, why: str) -> None:
        self.seen.append((name, why))
        self._news.set()

    async def next(self, seconds: float = 60.0) -> tuple[str, str]:
        """The one reported next, or already and not asked for yet."""
        async with asyncio.timeout(seconds):
            while not self.seen:
                self._news.clear()
                await self._news.wait()
        return self.seen.pop(0)


class World(Protocol):
    """One kind of driver. `end_ms`: within which an end is to be reported, on a busy machine."""

    end_ms: float
    folder: Path  # run directory of the deployment

    def driver(self) -> Driver:
        """A new one, not open yet."""

    def alive(self, found: dict[str, Any]) -> bool:
        """Whether the instance that said this about itself still runs."""

    def pid(self, found: dict[str, Any]) -> int:
        """Its process on this machine."""

    def left(self) -> list[str]:
        """What only instances that run may have: files, containers."""

    def close(self) -> None:
        """Ends what is left."""


class ProcessWorld:
    """Processes of this machine."""

    end_ms = 200.0  # 1 when idle

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def driver(self) -> Driver:
        return ProcessDriver(STAND_IN, PATIENCE)

    def pid(self, found: dict[str, Any]) -> int:
        return int(found["pid"])

    def alive(self, found: dict[str, Any]) -> bool:
        return start_time(self.pid(found)) is not None

    def left(self) -> list[str]:
        return [path.name for path in self.folder.rglob("*") if path.suffix in (".toml", ".json")]

    def close(self) -> None:
        for path in self.folder.glob("*.up"):  # what a failed test has left, or has ended unseen
            pid = int(json.loads(path.read_text())["pid"])
            if start_time(pid) is not None:
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


class RemoteWorld(ProcessWorld):
    """Processes behind an agent on a port of the loopback."""

    end_ms = 500.0  # 3 when idle

    def __init__(self, folder: Path, agent: RunningAgent) -> None:
        super().__init__(folder)
        self._agent = agent

    def driver(self) -> Driver:
        return RemoteDriver(self._agent.url, TOKEN, "contract", "process")


class DockerWorld:
    """Containers of a Docker Engine of the test's own, from an image made without a registry."""

    end_ms = 3000.0  # 60 when idle

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self._address = folder, address
        self._client: Any = docker.APIClient(address)
        self._began = int(time.time())

    def driver(self, image: str = IMAGE, address: str = "") -> DockerDriver:
        return DockerDriver(image, address or self._address, ("python3", "-S", *STAND_IN[2:]), PATIENCE)

    def pid(self, found: dict[str, Any]) -> int:
        (container,) = self._containers(found)
        return int(self._client.inspect_container(container)["State"]["Pid"])

    def alive(self, found: dict[str, Any]) -> bool:
        return any(container["State"] == "running" for container in self._containers(found))

    def _containers(self, found: dict[str, Any]) -> Any:
        return self._client.containers(all=True, filters={"label": f"{INSTANCE_LABEL}={found['order']['name']}"})

    def left(self) -> list[str]:
        return self._held() + [str(container["Names"]) for container in self._client.containers(all=True)]

    def _held(self) -> list[str]:
        """Network namespaces of this world's containers."""
        filters = {"type": "container", "event": "create"}
        made = self._client.events(since=self._began, until=f"{time.time():.6f}", filters=filters, decode=True)
        names = [f"statelessnf-{event['Actor']['ID'][:12]}" for event in made]
        return [name for name in names if Namespace(name).path.exists()]

    def close(self) -> None:
        for container in self._client.containers(all=True):
            self._client.remove_container(container, force=True)
        for name in self._held():
            netns.remove(name)
        self._client.close()


NO_NETWORK = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]


def make_certificate(folder: Path, name: str) -> None:
    """For who listens on, or comes from, 127.0.0.1: cert.pem and key.pem; its own authority is ca.pem, the same."""
    words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name}"
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(["openssl", *words.split(), *more], cwd=folder, check=True, capture_output=True)
    (folder / "ca.pem").write_bytes((folder / "cert.pem").read_bytes())


@contextmanager
def running_dockerd(folder: Path) -> Iterator[str]:
    """A Docker Engine of its own, with the image; gives its address. It has another one with TLS: see `tls_address`."""
    if shutil.which("dockerd") is None:
        pytest.skip("no Docker Engine here: apt-get install docker.io")
    address = f"unix://{folder}/s"
    make_certificate(folder, "engine")
    places = [
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid",
        f"--host={address}",
        "--host=tcp://127.0.0.1:0",
        "--tlsverify",
        *(f"--tls{what}={folder}/{file}.pem" for what, file in (("cacert", "cert"), ("cert", "cert"), ("key", "key"))),
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(["dockerd", *NO_NETWORK, *places], stdout=log, stderr=log)
    try:
        assert eventually(lambda: (folder / "s").exists() or server.poll() is not None, 20)
        assert server.poll() is None, (folder / "log").read_text()
        make_local_image(IMAGE, address, [Path(__file__).parent])
        yield address
    finally:
        server.terminate()
        server.wait(20)


def tls_address(address: str) -> tuple[str, Path]:
    """Where the Engine listens on TCP, and the folder of its certificates, which are a client's as well."""
    folder = Path(address.removeprefix("unix://")).parent
    found = re.search(r"API listen on (127[0-9.:]+)", (folder / "log").read_text())
    assert found is not None
    return f"tcp://{found[1]}", folder


@asynccontextmanager
async def opened(world: World) -> AsyncIterator[tuple[Driver, Ends]]:
    """A driver that is closed in the end."""
    driver, ends = world.driver(), Ends()
    await driver.open(ends)
    try:
        yield driver, ends
    finally:
        await driver.close()


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


async def up(world: World, name: str) -> dict[str, Any]:
    """What the stand-in says about itself, as soon as it is up."""
    path = world.folder / f"{name}.up"
    await until(path.exists)
    found: dict[str, Any] = json.loads(path.read_text())
    return found
