"""Open vSwitch as the lab's switch: a bridge in a namespace, of its own processes, in userspace.

`ovsdb-server` and `ovs-vswitchd` are started by hand, with sockets, database and logs in one folder; an Open vSwitch
that the machine runs is not touched. The bridge forwards nothing of its own accord: what it does is its flow entries.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from statelessnf.errors import LabError
from statelessnf.namespaces import Namespace, stop

BRIDGE = "lab"
_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
_COMMANDS = ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl")
_SECONDS = 10
_CONFIGURED_SECONDS = 25  # within which its ports are there: on a busy machine one over AF_XDP takes half a second
_AF_XDP = ("type=afxdp-nonpmd", "options:xdp-mode=native")  # else it tries each of 64 MB twice


def open_vswitch_is_there() -> bool:
    """Whether Open vSwitch is installed."""
    return _SCHEMA.is_file() and all(shutil.which(command) for command in _COMMANDS)


class OpenVSwitch:
    """A bridge with these interfaces of the namespace as ports, told what to do by `controllers` (`tcp:HOST:PORT`).

    `datapath`: its identifier. `with OpenVSwitch(...)`: ready in 0.3 s, and gone afterwards, however the block ends.
    `af_xdp`: 2,048 packets may wait at each port; at an ordinary one 92 large ones, which many downloads exceed all
    the time. Takes 64 MB and 0.2 s a port, also after a restart; left out where Open vSwitch was built without.
    Raises LabError: not installed, or it does not start.
    """

    def __init__(
        self,
        namespace: Namespace,
        folder: Path,
        ports: Sequence[str],
        controllers: Sequence[str],
        datapath: int = 1,
        *,
        af_xdp: bool = False,
    ) -> None:
        if not open_vswitch_is_there():
            raise LabError("Open vSwitch is missing", do="apt-get install openvswitch-switch")
        self._namespace, self._folder, self._ports = namespace, folder, ports
        self._controllers, self._datapath, self._af_xdp = controllers, datapath, af_xdp
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._run("ovsdb-tool", "create", self._folder / "conf.db", _SCHEMA)
            self._start_database()
            self._start_switch()
            self._configure()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def environment(self) -> dict[str, str]:
        """Lets `ovs-vsctl`, `ovs-ofctl` and `ovs-appctl` find this switch."""
        folder = str(self._folder)
        return {**os.environ, "OVS_RUNDIR": folder, "OVS_LOGDIR": folder, "OVS_DBDIR": folder, "OVS_SYSCONFDIR": folder}

    def control(self, *words: str) -> str:
        """`ovs-vsctl`; returns what it prints. Raises LabError with its words."""
        return self._run("ovs-vsctl", "--no-wait", f"--timeout={_SECONDS}", *words)

    def openflow(self, *words: str) -> str:
        """`ovs-ofctl`, in OpenFlow 1.3; returns what it prints. Raises LabError with its words."""
        return self._run("ovs-ofctl", "--protocols=OpenFlow13", *words)

    def forget_packets(self) -> None:
        """Empty the caches of the datapath: each packet from now on is looked up in flow entries as they are now.

        After a change Open vSwitch's own threads bring them up to date, some milliseconds after it has confirmed it.
        """
        target = f"--target={self._folder}/ovs-vswitchd.ctl"
        self._run("ovs-appctl", f"--timeout={_SECONDS}", target, "revalidator/purge")

    def restart(self) -> None:
        """Kill the switch (not its database) and start it again: it has forgotten its flow entries and groups."""
        switch = self._processes.pop()
        switch.kill()
        switch.wait()
        self._start_switch()

    def _start_database(self) -> None:
        remote = f"--remote=punix:{self._folder}/db.sock"
        self._start("ovsdb-server", self._folder / "conf.db", remote)

    def _start_switch(self) -> None:
        self._start("ovs-vswitchd", f"unix:{self._folder}/db.sock")

    def _configure(self) -> None:
        bridge = ["--", "add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev", "fail_mode=secure"]
        bridge += ["protocols=OpenFlow13", f"other-config:datapath-id={self._datapath:016x}"]
        wait = ("ovs-vsctl", "--retry", f"--timeout={_CONFIGURED_SECONDS}")  # for both processes
        self._run(*wait, *bridge)
        kinds = self._run(*wait, "wait-until", "open", ".", "iface_types!=[]", "--", "get", "open", ".", "iface_types")
        settings = _AF_XDP if self._af_xdp and "afxdp-nonpmd" in kinds else ()
        self._run(*wait, *(word for port in self._ports for word in _added(port, settings)), *self._targets())

    def _targets(self) -> list[str]:
        """Made with all of their settings, which a switch does not take over later."""
        settings = ["max_backoff=1000", "connection_mode=out-of-band"]
        words = []
        for number, target in enumerate(self._controllers):
            words += ["--", f"--id=@target{number}", "create", "controller", f'target="{target}"', *settings]
        every = ",".join(f"@target{number}" for number in range(len(self._controllers)))
        return [*words, "--", "set", "bridge", BRIDGE, f"controller=[{every}]"]

    def _start(self, program: str, *words: str | Path) -> None:
        control = f"--unixctl={self._folder}/{program}.ctl"
        pidfile, log = f"--pidfile={self._folder}/{program}.pid", f"--log-file={self._folder}/{program}.log"
        command = [program, *words, control, pidfile, log, "-vconsole:off", "--no-chdir"]
        self._processes.append(self._namespace.start(command, environment=self.environment))

    def _run(self, program: str, *words: str | Path) -> str:
        command = [program, *map(str, words)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode != 0:
            raise LabError(f"{program}: {done.stderr.strip() or done.returncode}", str(self._folder))
        return done.stdout

    def _stop(self) -> None:
        while self._processes:
            stop(self._processes.pop())


def _added(port: str, settings: Sequence[str]) -> list[str]:
    """Adds a port with settings of its interface."""
    return ["--", "add-port", BRIDGE, port, *(["--", "set", "interface", port, *settings] if settings else [])]
