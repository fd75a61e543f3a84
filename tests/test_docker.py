"""What containers have beside the contract of drivers: lent interfaces, virtual functions, and an Engine's faults."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path

import docker
import pytest
from pyroute2 import IPRoute

from driver_worlds import IMAGE as IMAGE_HERE
from driver_worlds import STAND_IN, DockerWorld, Ends, launch, opened, tls_address, until, up
from fault_proxy import FaultProxy
from statelessnf.errors import DriverError
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, add_address, connect
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.drivers.docker import DockerDriver
from statelessnf.orchestrator.drivers.docker_container import Handle, Setting, description
from statelessnf.orchestrator.drivers.docker_engine import Engine
from statelessnf.orchestrator.drivers.driver import Slot
from statelessnf.orchestrator.drivers.facts import facts_of

IMAGE = {"Id": "sha256:1", "Config": {"Labels": None}}


@pytest.fixture
def world(engine: str, tmp_path: Path) -> Iterator[DockerWorld]:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    with closing(DockerWorld(folder, engine)) as world:
        yield world


@pytest.fixture
def home() -> Iterator[Namespace]:
    """A slot's namespace: two interfaces, whose other ends are the switch's; the first has an address."""
    with Lab() as lab:
        home, switch = lab.namespace("slot"), lab.namespace("switch")
        for side in ("inside", "outside"):
            connect(Interface(home, side), Interface(switch, f"s-{side}"))
        add_address(Interface(home, "inside"), IPv4Interface("192.0.2.7/24"))
        yield home


def lent(home: Namespace) -> Slot:
    names = ("inside", "outside")
    return Slot(inside="i", outside="o", switch_inside="i", switch_outside="o", namespace=home.name, interfaces=names)


async def names_in(namespace: Namespace) -> list[str]:
    def look() -> list[str]:
        with namespace.entered(), IPRoute() as netlink:
            return sorted(link.get_attr("IFLA_IFNAME") for link in netlink.get_links())

    return await asyncio.to_thread(look)


async def addresses_in(namespace: Namespace) -> list[str]:
    def look() -> list[str]:
        with namespace.entered(), IPRoute() as netlink:
            return [address.get_attr("IFA_ADDRESS") for address in netlink.get_addr(family=2)]

    return await asyncio.to_thread(look)


@pytest.mark.root
def test_interfaces_are_lent_and_come_back(world: DockerWorld, home: Namespace) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, ends):
            await driver.start(launch(world.folder, "one", slot=lent(home)))
            found = await up(world, "one")
            assert sorted(found["interfaces"]) == ["inside", "lo", "outside"]
            assert await names_in(home) == ["lo"]
            os.kill(world.pid(found), signal.SIGKILL)
            await ends.next()
            assert await names_in(home) == ["inside", "lo", "outside"]
            assert "192.0.2.7" in await addresses_in(home)
            assert not world.left()

    asyncio.run(scene())


@pytest.mark.root
def test_they_come_back_from_one_that_ended_while_nobody_watched(world: DockerWorld, home: Namespace) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, _):
            handle = await driver.start(launch(world.folder, "one", slot=lent(home)))
            found = await up(world, "one")
        os.kill(world.pid(found), signal.SIGKILL)
        await until(lambda: not world.alive(found))
        async with opened(world) as (driver, _):
            assert not await driver.adopt("one", handle)
            assert await names_in(home) == ["inside", "lo", "outside"]
            assert not world.left()

    asyncio.run(scene())


@pytest.mark.root
def test_a_start_without_its_interfaces_leaves_nothing(world: DockerWorld, home: Namespace) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, _):
            slot = lent(home).model_copy(update={"interfaces": ("inside", "nowhere")})
            with pytest.raises(DriverError, match="nowhere"):
                await driver.start(launch(world.folder, "one", slot=slot))
            assert await names_in(home) == ["inside", "lo", "outside"]
            assert not world.left()

    asyncio.run(scene())


@pytest.mark.root
def test_an_end_while_the_engine_was_away_is_told_later(world: DockerWorld, engine: str, tmp_path: Path) -> None:
    async def scene(proxy: FaultProxy) -> None:
        driver, ends = world.driver(address=f"unix://{proxy.path}"), Ends()
        await driver.open(ends)
        try:
            await driver.start(launch(world.folder, "one"))
            found = await up(world, "one")
            await until(lambda: driver.reachable)
            proxy.refuse(True)
            proxy.cut()
            await until(lambda: not driver.reachable)
            os.kill(world.pid(found), signal.SIGKILL)
            await until(lambda: not world.alive(found))
            assert not ends.seen
            proxy.refuse(False)
            assert await ends.next() == ("one", "killed by SIGKILL: stand-in: begins")
            assert driver.reachable
        finally:
            await driver.close()

    with FaultProxy(Path(engine.removeprefix("unix://")), tmp_path / "p") as proxy:
        asyncio.run(scene(proxy))


@pytest.mark.root
def test_an_end_before_the_start_has_returned_is_told(world: DockerWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Engine.begin

    def begin_and_wait(engine: Engine, handle: Handle) -> None:
        begin(engine, handle)
        engine._api.wait(handle.container)

    monkeypatch.setattr(Engine, "begin", begin_and_wait)

    async def scene() -> None:
        async with opened(world) as (driver, ends):
            await driver.start(launch(world.folder, "one", "broken"))
            assert (await ends.next())[1].startswith("exit code 1")

    asyncio.run(scene())


@pytest.mark.root
def test_an_image_that_is_missing_is_named(world: DockerWorld) -> None:
    async def scene() -> None:
        driver = world.driver("nowhere")
        await driver.open(Ends())
        try:
            with pytest.raises(DriverError, match=r"no image 'nowhere'.*make image"):
                await driver.start(launch(world.folder, "one"))
        finally:
            await driver.close()

    asyncio.run(scene())


@pytest.mark.root
def test_an_engine_elsewhere_is_spoken_to_by_tls(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address, certificates = tls_address(engine)
    monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")  # of the web
    begun = launch(tmp_path, "one", "broken")
    begun = replace(begun, document=begun.document + '[store]\nurl = "memory"\n')

    async def scene() -> None:
        driver, ends = DockerDriver(IMAGE_HERE, address, ("python3", "-S", *STAND_IN[2:])), Ends()
        await driver.open(ends)
        try:
            assert (await driver.capacity()).interfaces == ()
            await driver.start(begun)
            assert await ends.next() == ("one", "exit code 1: snf: inside: no such port; correct it")
            assert driver.reachable
        finally:
            await driver.close()

    asyncio.run(scene())
    with closing(docker.APIClient(engine)) as client:
        assert not client.containers(all=True)


@pytest.mark.parametrize(
    ("address", "ssh", "why"),
    [
        ("tcp://127.0.0.1:1", "", "Connection refused"),
        ("tcp://127.0.0.1:99999", "", "Port out of range"),
        ("ssh://elsewhere", "", "the command ssh is not installed here"),
        ("ssh://elsewhere", "echo ssh: no route to elsewhere >&2; exit 255", "ssh: no route to elsewhere"),
        ("ssh://elsewhere", "echo sh: docker: not found >&2; exit 127", "sh: docker: not found"),
    ],
)
def test_why_an_engine_elsewhere_is_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, ssh: str, why: str
) -> None:
    if ssh:
        (tmp_path / "ssh").write_text(f"#!/bin/sh\n{ssh}\n")
        (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DriverError) as caught:
        Engine(address, "snf", ()).capacity()
    assert f"{address}: Docker cannot be reached: {why}" in caught.value.line()


def test_an_engine_out_of_reach_is_said_so(tmp_path: Path) -> None:
    async def scene() -> None:
        driver = DockerDriver("snf", f"unix://{tmp_path}/none")
        await driver.open(Ends())
        try:
            with pytest.raises(DriverError, match="cannot be reached"):
                await driver.start(launch(tmp_path, "one"))
            assert not driver.reachable
        finally:
            await driver.close()

    asyncio.run(scene())


def test_an_engine_elsewhere_lends_no_interfaces_and_has_no_embedded_store(tmp_path: Path) -> None:
    async def refused(slot: Slot) -> str:
        driver = DockerDriver("snf", "tcp://192.0.2.1:2375")
        with pytest.raises(DriverError) as caught:
            await driver.start(launch(tmp_path, "one", slot=slot))
        return caught.value.line()

    plain = Slot(inside="i", outside="o", switch_inside="i", switch_outside="o")
    assert "embedded store" in asyncio.run(refused(plain))
    assert "snf agent" in asyncio.run(refused(plain.model_copy(update={"interfaces": ("a",)})))


def test_a_virtual_function_comes_with_vfio_and_hugepages_and_no_right_to_the_network(tmp_path: Path) -> None:
    begun = launch(tmp_path, "one", cores=(2, 3), memory_mb=512)
    setting = Setting(facts_of(begun.document), IMAGE, ("snf",), local=True)
    plain = description(begun, setting)["HostConfig"]
    slot = begun.slot.model_copy(update={"inside": "0000:3b:02.0", "outside": "3b:02.1,mac_type=1"})
    virtual = description(replace(begun, slot=slot), setting)["HostConfig"]
    assert plain["CpusetCpus"] == "2,3"
    assert plain["Memory"] == plain["MemorySwap"] == 512 << 20
    assert plain["CapAdd"] == ["NET_ADMIN", "NET_RAW", "IPC_LOCK", "BPF"]
    assert plain["Devices"] == []
    assert virtual["CapAdd"] == ["IPC_LOCK"]
    assert [device["PathOnHost"] for device in virtual["Devices"]] == ["/dev/vfio"]
    assert "/dev/hugepages" in {mount["Source"] for mount in virtual["Mounts"]}
    assert virtual["NetworkMode"] == "none"
    assert virtual["RestartPolicy"] == {"Name": "no"}


@pytest.mark.parametrize("label", ['["relative"]', "{}", "nonsense", "[1]"])
def test_an_image_with_an_odd_label_is_refused(tmp_path: Path, label: str) -> None:
    begun = launch(tmp_path, "one")
    image = {"Id": "sha256:1", "Config": {"Labels": {"statelessnf.folders": label}}}
    with pytest.raises(DriverError, match="no list of folders"):
        description(begun, Setting(facts_of(begun.document), image, ("snf",), local=True))
