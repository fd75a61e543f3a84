"""Thousands of connections that talk: clients and named servers of the lab, in processes of their own.

Own processes, since one may not have descriptors for both ends of all connections.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab_peers import Address
from statelessnf.namespaces import Namespace, stop


@contextmanager
def name_server(namespace: Namespace, address: Address, port: int, name: str) -> Iterator[None]:
    """A server that says its name (lab_name_server.py), and listens when the block begins."""
    with _program(namespace, "lab_name_server.py", address, port, name) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        yield


class Crowd:
    """The clients of one namespace (lab_crowd_worker.py), which talk all the time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._commands, self._answers = process.stdin, process.stdout

    def grow(self, count: int) -> dict[str, int]:
        """So many more connections; how many of them each server has."""
        return dict(self._obey(f"grow {count}"))

    def look(self) -> dict[str, int]:
        """`guests`, and how many `moved`, are `broken`, or `silent`, after everybody has talked once more."""
        return dict(self._obey("look"))

    def _obey(self, command: str) -> Any:
        self._commands.write(f"{command}\n".encode())
        self._commands.flush()
        return json.loads(self._answers.readline())


@contextmanager
def crowd_of(namespace: Namespace, address: Address, port: int) -> Iterator[Crowd]:
    """Clients of that address, none at first."""
    with _program(namespace, "lab_crowd_worker.py", address, port) as process:
        yield Crowd(process)


@contextmanager
def _program(namespace: Namespace, file: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, str(Path(__file__).with_name(file)), *map(str, arguments)]
    process = namespace.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        stop(process)
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
