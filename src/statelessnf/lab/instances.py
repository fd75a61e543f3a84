"""The instances of the lab: `snf run` in a namespace each, all of one deployment.

They share a run directory, hence an embedded store. An instance's JSON lines (one a second) are kept as its latest
figures; what it says on standard error goes to a log, whose last line explains why it ended.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from statelessnf.errors import LabError
from statelessnf.namespaces import Namespace, stop

_DEPLOYMENT = """# Made by the lab: clients inside, web server outside.
name = "lab"
function = "firewall"

[store]
url = "{store}"

[instance]
ports = {{ inside = "net_af_xdp0,iface=inside", outside = "net_af_xdp1,iface=outside" }}
run_directory = "{folder}/run"

[firewall]
default = "deny"
rules = [{rules}]
"""
_RULE = '{{ action = "allow", direction = "outbound", protocol = "{protocol}", destination_ports = ["{port}"] }}'
_WEB = _RULE.format(protocol="tcp", port=80)


def write_deployment(folder: Path, store: str, udp: Sequence[int] = ()) -> Path:
    """Write the lab's deployment file: a firewall that lets the clients reach the web server, and these UDP ports.

    Returns its path.
    """
    path = folder / "deployment.toml"
    rules = ", ".join([_WEB, *(_RULE.format(protocol="udp", port=port) for port in udp)])
    path.write_text(_DEPLOYMENT.format(store=store, folder=folder, rules=rules))
    return path


def run_command(deployment: Path) -> list[str]:
    """The command line of one instance: `snf run` of this installation."""
    return [sys.executable, "-m", "statelessnf.cli", "run", str(deployment), "--json"]


class Instance:
    """One running instance: its number, its process, and the latest figures that it gave."""

    def __init__(self, number: int, namespace: Namespace, command: Sequence[str], log: Path) -> None:
        self.number = number
        self.figures: dict[str, Any] = {}
        self._log = log
        self._tail = b""
        with log.open("wb") as errors:
            self.process = namespace.start(command, stdout=subprocess.PIPE, stderr=errors)
        assert self.process.stdout is not None
        self.output = self.process.stdout.fileno()
        os.set_blocking(self.output, False)
        self.pidfd = os.pidfd_open(self.process.pid)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def read_figures(self) -> None:
        """Take in the lines that the instance has printed since the last call; never waits."""
        with suppress(BlockingIOError):
            while content := os.read(self.output, 1 << 16):
                *lines, self._tail = (self._tail + content).split(b"\n")
                for document in map(json.loads, lines):
                    if "commits" in document:  # and no event
                        self.figures = document

    def store_operations(self) -> tuple[int, int]:
        """Reads and commits so far."""
        return int(self.figures.get("reads", 0)), int(self.figures.get("commits", 0))

    def kill(self) -> None:
        """SIGKILL: the instance gets no chance to say goodbye."""
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def lost(self) -> LabError:
        """The error for an instance that ended though nobody killed it."""
        words = self._log.read_text(errors="replace").strip().splitlines()
        return LabError(f"instance {self.number} ended: {words[-1] if words else 'it says nothing'}")

    def close(self) -> None:
        """Stop the instance, if it still runs, and close what belongs to it."""
        stop(self.process)
        os.close(self.pidfd)
        if self.process.stdout is not None:
            self.process.stdout.close()
