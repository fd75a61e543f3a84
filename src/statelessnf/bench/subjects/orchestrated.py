"""Our firewall as a subject, as an operator has it: one deployment under its orchestrator, which copes by itself.

Failures are brought about past the orchestrator: signals to an instance's process, a link of the control network down.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from statelessnf.bench.subjects.subject import Failure, Way
from statelessnf.errors import LabError
from statelessnf.lab.control import ControlNetwork
from statelessnf.lab.instances import write_deployment
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.orchestra import Orchestra, Size, SwitchKind, loaded_open_vswitch, orchestrated, signal_instance
from statelessnf.lab.topology import CLIENT, Topology
from statelessnf.lab.web import answers
from statelessnf.orchestrator.steering.steering import Spread

LIMIT_MS = 15
SIGNALS = {Failure.kill: signal.SIGKILL, Failure.stop: signal.SIGSTOP}


class Orchestrated:
    """See subject.Elastic. `store`: `embedded`, or `memory` for the baseline; `udp`: ports that clients may reach.

    `switch`: what steers; `spread`: as long as it runs (per-packet spray takes nftables); `limit_ms`: of silence.
    """

    failures: frozenset[Failure] = frozenset(Failure)
    ways: frozenset[Way] = frozenset({Way.symmetric})
    client_address = str(CLIENT.ip)

    def __init__(
        self,
        stack: ExitStack,
        lab: Lab,
        store: str,
        instances: int,
        udp: Sequence[int],
        *,
        switch: SwitchKind = "nftables",
        spread: Spread = "flow",
        limit_ms: int = LIMIT_MS,
    ) -> None:
        self.name = "baseline" if store == "memory" else "stateless"
        self._stack, self._most, self._switch, self._spread = stack, instances, switch, spread
        self._limit_ms = limit_ms
        self._connects = (
            store != "memory" or spread == "flow"
        )  # else an instance does not know what another let through
        self._topology = stack.enter_context(Topology(lab, instances + 1))  # a place where a killed one's successor is
        self.clients, self.server = self._topology.clients, self._topology.server
        self.server_address = self._topology.server_address
        self._control = ControlNetwork(lab, self._topology)
        self._deployment = write_deployment(lab.folder, store, udp)
        self._text = self._deployment.read_text()
        if switch == "openvswitch":
            stack.enter_context(loaded_open_vswitch(lab, self._topology))
        self.orchestra = Orchestra(self._control, self._deployment, lab.folder / "run")
        self._names: dict[int, str] = {}  # of instances by slot, at the beginning

    def wait_ready(self) -> None:
        self._deployment.write_text(self._written(Size(self._most, self._most)))
        self._stack.enter_context(self.orchestra)
        self.orchestra.settle()
        self._names = {one["slot"]: one["name"] for one in self.orchestra.instances()}
        if self._connects:
            self.orchestra.wait(self._gets_through, "nothing gets through")

    def _written(self, size: Size, scaling: Mapping[str, float] | None = None) -> str:
        return orchestrated(
            self._text,
            self._topology,
            size,
            spread=self._spread,
            scaling=scaling,
            kind=self._switch,
            limit_ms=self._limit_ms,
        )

    def _gets_through(self) -> bool:
        return answers(self.clients, self.server_address, 0.2)

    def name_of(self, slot: int) -> str:
        """Of the instance that was there at the beginning."""
        return self._names[slot]

    def traffic(self) -> list[int]:
        return [traffic.given_packets for traffic in self._topology.traffic()]

    def carrying(self) -> int:
        return len(self.orchestra.members())

    def fail(self, failure: Failure, victim: int) -> None:
        if failure is Failure.cut:
            self._control.cut(victim)
        elif failure is Failure.move:
            self.orchestra.ask("POST", f"/instances/{self._names[victim]}/drain", {"drained": True})
        else:
            signal_instance(self._topology.instances[victim], SIGNALS[failure])

    def steer(self, way: Way) -> None:
        if way is not Way.symmetric:
            raise LabError(f"an orchestrated deployment is not led {way} while it runs", "snf bench", "leave it out")

    def check(self) -> None:
        self.orchestra.check()

    def suspicions(self) -> int:
        return sum(event["kind"] == "suspect" for event in self.orchestra.events())

    def scale(self, capacity: float) -> None:
        """From `minimum` 1 on, with a spare that carries as soon as it is wanted."""
        scaling = {"capacity": capacity, "high": 0.95, "low": 0.85, "up_s": 0.1, "down_s": 0.5, "cool_down_s": 0.2}
        self.orchestra.reload(self._written(Size(1, self._most, 1), scaling))
        self.orchestra.wait(lambda: self.carrying() == 1, "there is no single instance")
