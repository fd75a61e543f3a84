"""An orchestrator in the lab: `snf up` in the control network, with a place for an instance in each namespace.

It is watched, and told things, as an operator would: over its API.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from statelessnf.api.access import read_access
from statelessnf.errors import LabError, SnfError
from statelessnf.lab.control import CONTROL, ControlNetwork
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.open_vswitch import OpenVSwitch
from statelessnf.lab.switch import Switch
from statelessnf.lab.topology import Topology
from statelessnf.namespaces import Namespace, stop
from statelessnf.orchestrator.steering.steering import Spread

PATIENCE = 30.0  # seconds
PAUSE = 0.01
OPENFLOW = f"{CONTROL.ip}:6653"  # where the orchestrator listens for the switch

SwitchKind = Literal["nftables", "openvswitch"]

_SECTION = """
[orchestrator]
minimum = {size.minimum}
maximum = {size.maximum}
spares = {size.spares}
api = "127.0.0.1:0"
beats = ["{beats}:0"]

[orchestrator.detection]
limit_ms = {limit_ms}

[orchestrator.scaling]
{scaling}

[orchestrator.steering]
{told}
clients = "clients"
servers = "server"
spread = "{spread}"

[[orchestrator.hosts]]
name = "here"
slots = [
{slots}
]
"""
_TOLD: dict[SwitchKind, str] = {
    "nftables": 'kind = "nftables"\nnamespace = "{switch}"',
    "openvswitch": f'kind = "openflow"\nlisten = "{OPENFLOW}"',
}
_SLOT = (
    '  {{ inside = "net_af_xdp0,iface=inside", outside = "net_af_xdp1,iface=outside", '
    'switch_inside = "in{n}", switch_outside = "out{n}", namespace = "{name}" }},'
)


class Size(NamedTuple):
    """How many instances."""

    minimum: int
    maximum: int
    spares: int = 0


def orchestrated(
    text: str,
    switch: Switch,
    size: Size,
    *,
    spread: Spread,
    scaling: Mapping[str, float] | None = None,
    kind: SwitchKind = "nftables",
    limit_ms: int = 15,
) -> str:
    """A lab's deployment file with the section [orchestrator]; `scaling`: its options, None: it is off.

    With `openvswitch` the switch is told by OpenFlow; it has to connect to OPENFLOW. `limit_ms`: see DetectionSection.
    """
    slots = "\n".join(_SLOT.format(n=n, name=namespace.name) for n, namespace in enumerate(switch.instances))
    options = {"enabled": "false"} if scaling is None else scaling
    return text + _SECTION.format(
        size=size,
        beats=CONTROL.ip,
        limit_ms=limit_ms,
        scaling="\n".join(f"{name} = {value}" for name, value in options.items()),
        told=_TOLD[kind].format(switch=switch.switch.name),
        spread=spread,
        slots=slots,
    )


def loaded_open_vswitch(lab: Lab, topology: Topology) -> OpenVSwitch:
    """An Open vSwitch for much traffic between all places of the lab; it looks for the orchestrator's address."""
    folder, controllers = lab.folder / "openvswitch", [f"tcp:{OPENFLOW}"]
    return OpenVSwitch(topology.switch, folder, topology.ports, controllers, af_xdp=True)


class Orchestra:
    """One orchestrator process; `with` ends it, and takes the deployment down with it.

    `namespace`: of its machine, if that is another one than the control network's first.
    """

    def __init__(
        self, control: ControlNetwork, deployment: Path, run_directory: Path, namespace: Namespace | None = None
    ) -> None:
        self._namespace = control.namespace if namespace is None else namespace
        self._deployment, self._directory = deployment, run_directory
        self._log = deployment.parent / "orchestrator.log"
        self._connection: http.client.HTTPConnection | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(SnfError, OSError, http.client.HTTPException):
            self.ask("DELETE", "/deployment")
        self.end()

    def start(self, *options: str) -> None:
        """Another orchestrator process."""
        command = [sys.executable, "-m", "statelessnf.cli", "up", str(self._deployment), "--foreground", *options]
        with self._log.open("ab") as log:
            self.process = self._namespace.start(command, stderr=log)

    def check(self) -> None:
        """Raises LabError if the process has ended."""
        if self.process is not None and self.process.poll() is not None:
            raise LabError(f"the orchestrator ended: {self.last_words()}")

    def reload(self, text: str) -> None:
        """Another deployment file."""
        self._deployment.write_text(text)
        self.ask("PUT", "/deployment", text)

    def end(self) -> None:
        """SIGTERM: instances and switch go on."""
        self._close()
        if self.process is not None:
            stop(self.process)

    def kill(self) -> None:
        """SIGKILL."""
        self._close()
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """One request to its API. Raises LabError for what it refuses, OSError where it does not answer.

        A connection that was kept, and that it has closed meanwhile, is opened anew.
        """
        if self._connection is not None:
            with suppress(ConnectionError):
                return self._ask(method, path, body)
        return self._ask(method, path, body)

    def _ask(self, method: str, path: str, body: object) -> Any:
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        kind = "application/toml" if isinstance(body, str) else "application/json"
        fresh = self._connection is None
        try:
            status, content = self._exchange(method, path, text, kind)
        except (ConnectionError, http.client.RemoteDisconnected):
            if fresh:
                raise
            status, content = self._exchange(method, path, text, kind)  # it ends connections that were idle
        if status >= 400:
            raise LabError(f"{method} {path}: {status} {content.decode(errors='replace')}", "orchestrator")
        return json.loads(content) if content else None

    def _exchange(self, method: str, path: str, text: str | None, kind: str) -> tuple[int, bytes]:
        connection, token = self._connected()
        try:
            connection.request(method, path, text, {"Authorization": f"Bearer {token}", "Content-Type": kind})
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self._close()
            raise

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Until the condition holds. Raises LabError if it does not come to, or if the orchestrator ends."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(OSError, SnfError, http.client.HTTPException):
                if condition():
                    return
            self.check()
            if time.monotonic() > deadline:
                raise LabError(f"{what}: not within {seconds:g} s ({self.last_words()})")
            time.sleep(PAUSE)

    def settle(self, seconds: float = PATIENCE) -> None:
        """Until everything is as the deployment file, and whoever scaled it, wants."""
        self.wait(lambda: bool(self.ask("GET", "/deployment")["settled"]), "the deployment does not settle", seconds)

    def instances(self) -> list[dict[str, Any]]:
        """As the API shows them."""
        shown: list[dict[str, Any]] = self.ask("GET", "/instances")["instances"]
        return shown

    def members(self) -> list[str]:
        """Who gets traffic."""
        names: list[str] = self.ask("GET", "/steering")["members"]
        return names

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """All that happened since the event with the number `after`."""
        told: list[dict[str, Any]] = []
        while page := self.ask("GET", f"/events?after={told[-1]['number'] if told else after}")["events"]:
            told += page
        return told

    def last_words(self) -> str:
        """The last line that it printed."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it says nothing"

    def _connected(self) -> tuple[http.client.HTTPConnection, str]:
        access = read_access(self._directory)
        if self._connection is None:
            place = urlsplit(access.api)
            connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=PATIENCE)
            with self._namespace.entered():
                connection.connect()
            self._connection = connection
        return self._connection, access.token

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def signal_instance(namespace: Namespace, number: signal.Signals) -> None:
    """A signal to the instance that runs in that namespace, past its orchestrator."""
    for pid in instance_pids(namespace.pids()):
        os.kill(pid, number)


def instance_pids(pids: Sequence[int]) -> list[int]:
    """Those of them that are instances."""
    found = []
    for pid in pids:
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"run" in words and b"statelessnf.cli" in words:
                found.append(pid)
    return found
