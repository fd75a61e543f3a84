"""A store with a replica, as operators have it: a primary on a socket, and a second server that follows it.

Both are the server that comes with the embedded store, with its settings, but are no keeper's. `with ReplicatedStore`:
both run and the replica has all; they are gone afterwards.
"""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from statelessnf.errors import LabError, StoreError
from statelessnf.namespaces import stop
from statelessnf.store.client import StoreClient
from statelessnf.store.embedded import EmbeddedStore, server_command
from statelessnf.store.url import StoreUrl, unix_url

MEMORY_MB = 256
PATIENCE = 20.0  # seconds
PAUSE = 0.02


class ReplicatedStore:
    """In `folder`. Raises LabError if a server does not start, or does not follow."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, _free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> StoreUrl:
        """Of the primary."""
        return unix_url(str(self._socket("primary")))

    def __enter__(self) -> Self:
        try:
            follow = ("--repl-diskless-sync-delay", "0")
            self._start("primary", "--port", str(self._port), "--bind", "127.0.0.1", *follow)
            self.start_replica()
            self.wait_replicated()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def start_replica(self) -> None:
        """It follows the primary, and asks for all that it lacks."""
        self._start("replica", "--replicaof", "127.0.0.1", str(self._port))

    def kill_replica(self) -> None:
        """SIGKILL."""
        process = self._processes.pop("replica")
        process.kill()
        process.wait()

    def wait_replicated(self) -> None:
        """Until the replica has what the primary has. Raises LabError."""
        deadline = time.monotonic() + PATIENCE
        while not self.replicated():
            if time.monotonic() > deadline:
                raise LabError("the store's replica does not follow", str(self._folder))
            time.sleep(PAUSE)

    def replicated(self) -> bool:
        """Whether the replica follows now."""
        try:
            with StoreClient(unix_url(str(self._socket("replica")))) as client:
                return client.info("replication").get("master_link_status") == "up"
        except StoreError:
            return False

    def _socket(self, name: str) -> Path:
        return self._folder / name / "store.sock"

    def _start(self, name: str, *options: str) -> None:
        own = EmbeddedStore(self._folder / name, users=-1)
        own.directory.mkdir(parents=True, exist_ok=True)
        command = [*server_command(own, MEMORY_MB), *options]
        with (own.directory / "server.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=own.directory, start_new_session=True
            )

    def _stop(self) -> None:
        while self._processes:
            stop(self._processes.popitem()[1])


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
