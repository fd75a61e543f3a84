"""The embedded store: shared, race-free at the start, outliving a killed user, gone with the last one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest
import valkey

from conftest import eventually, running_valkey
from statelessnf.errors import ConfigError, StoreRefused, StoreUnavailable
from statelessnf.store import embedded
from statelessnf.store.embedded import EmbeddedStore, attach, default_run_directory, embedded_store

USER = """
import sys
from pathlib import Path
from statelessnf.store.embedded import embedded_store
with embedded_store(Path(sys.argv[1]), 64) as store:
    print(store.socket_path, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "run"


@contextmanager
def user(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A user in a process of its own; ends when its input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def started(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ask(path: Path, *words: str | int) -> object:
    with valkey.Valkey(unix_socket_path=str(path)) as client:
        answer: object = client.execute_command(*words)
        return answer


def server_pid(path: Path) -> int:
    with valkey.Valkey(unix_socket_path=str(path)) as client:
        return int(client.info("server")["process_id"])


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1].startswith("Z")
    except FileNotFoundError:
        return True


def test_first_user_starts_it_and_last_one_ends_it(directory: Path) -> None:
    first = attach(directory, 64)
    second = attach(directory, 64)
    pid = server_pid(first.socket_path)
    assert ask(first.socket_path, "SET", "k", "v")
    first.detach()
    first.detach()
    assert ask(second.socket_path, "GET", "k") == b"v"
    second.detach()
    assert eventually(lambda: gone(pid))
    assert eventually(lambda: not second.socket_path.exists())


def test_settings_are_those_that_records_need(directory: Path) -> None:
    with embedded_store(directory, 64) as store, valkey.Valkey(unix_socket_path=str(store.socket_path)) as client:
        wanted = {
            "maxmemory": str(64 << 20), "maxmemory-policy": "noeviction", "tracking-table-max-keys": "0", "save": "",
            "appendonly": "no", "port": "0", "dir": str(directory),
        }  # fmt: skip
        assert {name: client.config_get(name)[name] for name in wanted} == wanted
        assert store.socket_path.stat().st_mode & 0o777 == 0o700
        assert directory.stat().st_mode & 0o777 == 0o700


def test_killed_user_is_not_counted(directory: Path) -> None:
    with user(directory) as one, user(directory) as two:
        path = Path(started(one))
        assert started(two) == str(path)
        pid = server_pid(path)
        one.kill()
        one.wait()
        assert server_pid(path) == pid
        two.kill()
        assert eventually(lambda: gone(pid))


def test_four_at_once_share_one_server(directory: Path) -> None:
    with user(directory) as a, user(directory) as b, user(directory) as c, user(directory) as d:
        paths = {started(process) for process in (a, b, c, d)}
        assert paths == {str(directory / "store.sock")}
        assert len({server_pid(Path(path)) for path in paths}) == 1
        keepers = [
            p for p in Path("/proc").iterdir() if p.name.isdigit() and _command(p).count(str(directory).encode())
        ]
        assert sum(b"keeper.py" in _command(p) for p in keepers) == 1


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_threads_that_attach_at_once_agree(directory: Path) -> None:
    together = Barrier(8)

    def attached(_number: int) -> EmbeddedStore:
        together.wait(10)
        return attach(directory, 64)

    for _ in range(3):
        with ThreadPoolExecutor(8) as pool:
            stores = list(pool.map(attached, range(8)))
        assert len({store.secret for store in stores}) == 1
        assert len({server_pid(store.socket_path) for store in stores}) == 1
        for store in stores:
            store.detach()
        (directory / "secret").unlink()


def test_secret_of_the_first_stands(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.mkdir()
    embedded._ensure_secret(directory / "secret")
    first = (directory / "secret").read_bytes()
    monkeypatch.setattr(Path, "exists", lambda _path: False)  # another one who looked before it was there
    embedded._ensure_secret(directory / "secret")
    assert (directory / "secret").read_bytes() == first
    assert len(first) == 8


def test_coming_and_going_never_meets_a_dead_store(directory: Path) -> None:
    for _ in range(15):
        with embedded_store(directory, 64) as store:
            assert ask(store.socket_path, "PING")


def test_dead_server_is_started_again_with_the_same_secret(directory: Path) -> None:
    with embedded_store(directory, 64) as store:
        secret, pid = store.secret, server_pid(store.socket_path)
        assert eventually(lambda: _age(pid) > 1.1)
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: embedded._answers(store.socket_path))
        assert server_pid(store.socket_path) != pid
        assert store.secret == secret


def _age(pid: int) -> float:
    ticks = int(Path(f"/proc/{pid}/stat").read_text().split(") ")[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def test_dead_keeper_takes_the_server_along_and_the_next_user_starts_anew(directory: Path) -> None:
    with embedded_store(directory, 64) as store:
        pid = server_pid(store.socket_path)
        keeper = int(Path(f"/proc/{pid}/stat").read_text().split(") ")[1].split()[1])
        os.kill(keeper, signal.SIGKILL)
        assert eventually(lambda: gone(pid))
        with embedded_store(directory, 64) as again:
            assert server_pid(again.socket_path) != pid


def test_user_whose_starter_ended_stays_served(directory: Path) -> None:
    with user(directory) as starter, embedded_store(directory, 64) as store:
        started(starter)
        pid = server_pid(store.socket_path)
        assert starter.stdin is not None
        starter.stdin.close()
        assert starter.wait(10) == 0
        assert server_pid(store.socket_path) == pid


def test_starts_about_as_fast_as_a_bare_server(directory: Path, tmp_path: Path) -> None:
    """Side by side on the same machine; by itself 75 ms against 40."""
    embedded_times, bare_times = [], []
    for number in range(5):
        start = time.monotonic()
        with embedded_store(directory, 64) as store:
            embedded_times.append(time.monotonic() - start)
            pid = server_pid(store.socket_path)
        assert eventually(partial(gone, pid))
        folder = tmp_path / str(number)
        folder.mkdir()
        start = time.monotonic()
        with running_valkey(folder):
            bare_times.append(time.monotonic() - start)
    assert min(embedded_times) < 4 * min(bare_times), (embedded_times, bare_times)


def test_server_that_cannot_start_says_why(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_store: embedded.EmbeddedStore, _memory_mb: int) -> list[str]:
        return [str(embedded.server_binary()), "--maxmemory", "much"]

    monkeypatch.setattr(embedded, "server_command", broken)
    with pytest.raises(StoreUnavailable, match=r"did not start; see .*store.log: "):
        attach(directory)
    monkeypatch.undo()
    with embedded_store(directory, 64) as store:
        assert ask(store.socket_path, "PING")


def test_refuses_a_directory_that_others_can_write(directory: Path) -> None:
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    with pytest.raises(StoreRefused, match="open to other users"):
        attach(directory)
    target = directory.parent / "target"
    target.mkdir(mode=0o700)
    (directory.parent / "link").symlink_to(target)
    with pytest.raises(StoreRefused, match="open to other users"):
        attach(directory.parent / "link")


def test_refuses_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="longer than 107 bytes"):
        attach(tmp_path / ("x" * 120))


def test_default_run_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_run_directory("edge") == Path("/run/statelessnf/edge")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert default_run_directory("edge") == Path("/run/user/1000/statelessnf/edge")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert default_run_directory("edge") == Path("/tmp/statelessnf-1000/edge")
