"""The deployment of `snf bench chaos`: two orchestrators, a firewall of some instances, a store with a replica.

And what can be done to each of them.

Every harm is undone by whoever is to cope with it, or by the bed where that is an operator's part: a cut link is mended
and a killed replica is started anew after a while, a killed orchestrator is followed by another standby.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import StrEnum
from random import Random

from statelessnf.bench.replicated_store import ReplicatedStore
from statelessnf.builder import build
from statelessnf.config import parse_text
from statelessnf.errors import LabError
from statelessnf.find import find_function
from statelessnf.lab.control import ControlNetwork
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.open_vswitch import OpenVSwitch
from statelessnf.lab.orchestra import Orchestra, Size, SwitchKind, loaded_open_vswitch, orchestrated, signal_instance
from statelessnf.lab.topology import Topology
from statelessnf.lab.web import answers, web_server
from statelessnf.orchestrator.steering.rules import table_of
from statelessnf.records.records import Filter
from statelessnf.records.stored import StoredRecords

CARRIERS, PLACES = 3, 4
ABSENT = 1.5  # seconds until what only an operator brings back is there again
CONVERGE = 30.0  # seconds
PAGE = 1000
_DEPLOYMENT = """# Made by the lab: clients inside, servers outside.
name = "lab"
function = "firewall"

[store]
url = "{store}"

[instance]
run_directory = "{folder}/run"

[firewall]
default = "deny"
rules = [{{ action = "allow", direction = "outbound" }}]
"""


class Harm(StrEnum):
    """What can be done."""

    kill = "kill"  # SIGKILL to an instance
    stop = "stop"  # SIGSTOP to an instance
    cut = "cut"  # an instance's heartbeats do not arrive for a while
    leader = "leader"  # SIGKILL to the orchestrator that leads; the other one takes over
    switch = "switch"  # the switch loses all of its rules: nftables
    restart = "restart"  # SIGKILL to the switch, which is started again: Open vSwitch, which forwards nothing meanwhile
    replica = "replica"  # SIGKILL to the store's replica
    pause = "pause"  # an instance stands still for 20 ms


def offered(switch: SwitchKind) -> list[Harm]:
    """What can be done where that steers."""
    impossible = Harm.restart if switch == "nftables" else Harm.switch
    return [harm for harm in Harm if harm is not impossible]


class ChaosBed:
    """Made by `chaos_bed`."""

    def __init__(self, stack: ExitStack, lab: Lab, switch: SwitchKind) -> None:
        self.lab, self.folder = lab, lab.folder
        self.topology = stack.enter_context(Topology(lab, PLACES))
        self.control = ControlNetwork(lab, self.topology)
        self.store = stack.enter_context(ReplicatedStore(lab.folder / "store"))
        path = lab.folder / "deployment.toml"
        text = _DEPLOYMENT.format(store=f"unix://{self.store.url.path}", folder=lab.folder)
        path.write_text(orchestrated(text, self.topology, Size(CARRIERS, PLACES), spread="flow", kind=switch))
        self._deployment = parse_text(path.read_text(), path)
        self.leader, self.standby = (Orchestra(self.control, path, lab.folder / "run") for _ in range(2))
        self._openflow: OpenVSwitch | None = None
        if switch == "openvswitch":
            self._openflow = stack.enter_context(loaded_open_vswitch(lab, self.topology))

    def harms(self) -> dict[Harm, Callable[[Random], str]]:
        """What can be done; each returns what was done to whom."""
        return {
            Harm.kill: lambda random: self._signal(random, signal.SIGKILL),
            Harm.stop: lambda random: self._signal(random, signal.SIGSTOP),
            Harm.pause: self._pause,
            Harm.cut: self._cut,
            Harm.leader: self._kill_leader,
            Harm.switch: self._flush,
            Harm.restart: self._restart,
            Harm.replica: self._kill_replica,
        }

    def converge(self) -> None:
        """Until everything is as the deployment file wants. Raises LabError."""
        self.leader.settle(CONVERGE)
        self.leader.wait(self._gets_through, "nothing gets through")

    def _gets_through(self) -> bool:
        return answers(self.topology.clients, self.topology.server_address, 0.5)

    def recorded_ports(self, port: int) -> set[int]:
        """The clients' ports of TCP flows to that port of the server of which the store has a record."""
        records, ports, cursor = StoredRecords(self._deployment, self.store.url), set(), None
        try:
            while cursor != "":
                page = records.list(Filter(port=port, protocol="tcp"), cursor or "", PAGE)
                ports |= {end.port for record in page.records for end in (record.low, record.high)}
                cursor = page.cursor
        finally:
            records.close()
        return ports - {port}

    def _victim(self, random: Random) -> tuple[str, int]:
        """An instance that carries traffic: its name, and its place."""
        carrying = [(one["name"], one["slot"]) for one in self.leader.instances() if one["steered"]]
        return random.choice(sorted(carrying))

    def _signal(self, random: Random, number: signal.Signals) -> str:
        name, slot = self._victim(random)
        signal_instance(self.topology.instances[slot], number)
        self.leader.wait(lambda: name not in self.leader.members(), f"traffic still goes to {name}", CONVERGE)
        return name

    def _pause(self, random: Random) -> str:
        name, slot = self._victim(random)
        pause(self.topology, slot)
        return name

    def _cut(self, random: Random) -> str:
        name, slot = self._victim(random)
        self.control.cut(slot)
        try:
            time.sleep(ABSENT)
        finally:
            self.control.mend(slot)
        return name

    def _kill_leader(self, random: Random) -> str:
        killed, self.leader = self.leader, self.standby
        killed.kill()
        killed.start("--standby")
        self.standby = killed
        return "the orchestrator that led"

    def _flush(self, random: Random) -> str:
        nft = shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin:/bin")
        if nft is None:
            raise LabError("nft is missing", do="apt-get install nftables")
        process = self.topology.switch.start([nft, "delete", "table", *table_of("lab").split()], stderr=subprocess.PIPE)
        _, words = process.communicate()
        if process.returncode:
            raise LabError(f"nft: {words.decode().strip()}", "switch")
        return "all rules of the switch"

    def _restart(self, random: Random) -> str:
        if self._openflow is None:
            raise LabError("the switch is no Open vSwitch")
        self._openflow.restart()
        return "the switch"

    def _kill_replica(self, random: Random) -> str:
        self.store.kill_replica()
        time.sleep(ABSENT)
        self.store.start_replica()
        self.store.wait_replicated()
        return "the store's replica"


PAUSE = 0.02  # seconds


def pause(topology: Topology, slot: int) -> None:
    """The instance in that place stands still for PAUSE."""
    signal_instance(topology.instances[slot], signal.SIGSTOP)
    time.sleep(PAUSE)
    signal_instance(topology.instances[slot], signal.SIGCONT)


@contextmanager
def chaos_bed(switch: SwitchKind = "nftables") -> Iterator[ChaosBed]:
    """Everything runs and has settled. Raises LabError: no root, a program missing, something that does not start."""
    build(find_function("firewall"))
    with Lab() as lab, ExitStack() as stack:
        bed = ChaosBed(stack, lab, switch)
        stack.enter_context(web_server(bed.topology.server, bed.topology.server_address, lab.folder))
        stack.callback(lambda: _take_down(bed))
        bed.leader.start()
        bed.converge()
        bed.standby.start("--standby")
        yield bed


def _take_down(bed: ChaosBed) -> None:
    """The standby first: it would lead."""
    bed.standby.end()
    with suppress(LabError):
        bed.leader.settle(CONVERGE)
    bed.leader.__exit__(None, None, None)
