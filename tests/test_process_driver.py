"""What processes have beside the contract of drivers: identity, namespaces, logs, control groups."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from driver_worlds import ProcessWorld, launch, opened, until, up
from statelessnf.errors import DriverError
from statelessnf.lab.lifetime import Lab
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.drivers.driver import Slot
from statelessnf.orchestrator.drivers.process_files import KEPT_LOGS, write_files
from statelessnf.orchestrator.drivers.process_memory import MemoryGroups
from statelessnf.processes import ended_words, start_time


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ProcessWorld]:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    with closing(ProcessWorld(folder)) as world:
        yield world


def test_a_number_that_another_process_has_now_is_not_the_instance(world: ProcessWorld) -> None:
    async def scene(other: subprocess.Popen[bytes]) -> None:
        async with opened(world) as (driver, _):
            folder = str(world.folder / "instances")
            for started in (start_time(other.pid), 1):  # it is another command; another process
                handle = json.dumps({"pid": other.pid, "started": started, "folder": folder})
                assert not await driver.adopt("one", handle)
            await driver.kill("one")
            assert other.poll() is None

    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as other:
        try:
            asyncio.run(scene(other))
        finally:
            other.kill()


def test_a_process_that_started_at_another_time_is_not_the_instance(world: ProcessWorld) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, _):
            handle = json.loads(await driver.start(launch(world.folder, "one")))
            await up(world, "one")
        async with opened(world) as (driver, _):
            assert not await driver.adopt("one", json.dumps(handle | {"started": handle["started"] + 1}))

    asyncio.run(scene())


def test_an_ended_child_that_nobody_has_asked_for_is_not_alive() -> None:
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{child}/stat").exists()
    assert start_time(child) is None
    os.waitpid(child, 0)


@pytest.mark.parametrize(
    ("name", "folder"), [("../one", "/x/instances"), ("one", "/etc"), ("one", "instances"), ("", "/x/instances")]
)
def test_a_handle_cannot_name_other_files(world: ProcessWorld, name: str, folder: str) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, _):
            with pytest.raises(DriverError, match="not ours"):
                await driver.adopt(name, json.dumps({"pid": 2, "started": 1, "folder": folder}))

    asyncio.run(scene())


@pytest.mark.root
def test_it_runs_in_the_namespace_of_its_slot(world: ProcessWorld) -> None:
    async def scene(home: Namespace) -> None:
        async with opened(world) as (driver, ends):
            slot = Slot(inside="i", outside="o", switch_inside="i", switch_outside="o", namespace=home.name)
            await driver.start(launch(world.folder, "one", slot=slot))
            found = await up(world, "one")
            assert found["interfaces"] == ["lo"]
            assert found["session"]
            assert f"{home.name}/lo" in (await driver.capacity()).interfaces
            gone = slot.model_copy(update={"namespace": "nowhere"})
            with pytest.raises(DriverError, match="nowhere"):
                await driver.start(launch(world.folder, "two", slot=gone))
            await driver.kill("one")
            await ends.next()
            assert not world.left()

    with Lab() as lab:
        asyncio.run(scene(lab.namespace("slot")))


def test_logs_are_private_and_few_and_those_of_running_instances_stay(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    write_files(folder, "runs", "", "")
    for number in range(KEPT_LOGS + 5):
        files = write_files(folder, f"i{number}", "", "")
        os.utime(files.log, (number, number))
        assert files.log.stat().st_mode & 0o777 == 0o600
        files.remove()
    os.utime(folder / "instances" / "runs.log", (0, 0))
    write_files(folder, "last", "", "")
    logs = {log.stem for log in (folder / "instances").glob("*.log")}
    assert len(logs) == KEPT_LOGS + 2
    assert {"runs", "last", f"i{KEPT_LOGS + 4}"} <= logs
    assert "i0" not in logs


def test_a_run_directory_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with pytest.raises(DriverError, match="open to other users"):
        write_files(folder, "one", "", "")


def test_a_control_group_for_each_instance(tmp_path: Path) -> None:
    MemoryGroups(tmp_path).limit("one", 7, 100)  # none can be had here
    assert not list(tmp_path.iterdir())
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n")
    groups = MemoryGroups(tmp_path)
    assert groups.available
    groups.limit("one", 7, 100)
    group = tmp_path / "statelessnf" / "one"
    assert (group / "memory.max").read_text() == str(100 << 20)
    assert (group / "cgroup.procs").read_text() == "7"
    assert (tmp_path / "statelessnf" / "cgroup.subtree_control").read_text() == "+memory"


def test_ends_in_words() -> None:
    assert ended_words(0) == "exit code 0"
    assert ended_words(128 + signal.SIGSEGV) == "killed by SIGSEGV"
    assert ended_words(255) == "exit code 255"


def test_many_end_at_once_and_each_is_told_once(world: ProcessWorld) -> None:
    async def scene() -> None:
        async with opened(world) as (driver, ends):
            names = [f"i{number}" for number in range(8)]
            await asyncio.gather(*(driver.start(launch(world.folder, name)) for name in names))
            found = [await up(world, name) for name in names]
            for one in found:
                os.kill(world.pid(one), signal.SIGKILL)
            await until(lambda: len(ends.seen) >= 8)
            await asyncio.sleep(0.02)
            assert sorted(name for name, _ in ends.seen) == names

    asyncio.run(scene())
