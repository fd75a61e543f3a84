"""Where the stories take place: clients, switch, instances under an orchestrator, and a web server, in namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from statelessnf.bench.subjects.orchestrated import Orchestrated
from statelessnf.bench.subjects.registry import UDP, Bed, bed
from statelessnf.builder import build
from statelessnf.demo.view import View
from statelessnf.find import find_function
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.open_vswitch import open_vswitch_is_there
from statelessnf.lab.orchestra import SwitchKind
from statelessnf.orchestrator.steering.steering import Spread

SWITCHES: dict[SwitchKind, str] = {"nftables": "nftables", "openvswitch": "Open vSwitch (OpenFlow 1.3)"}
SPREADS: dict[Spread, str] = {
    "flow": "each flow to one instance",
    "packet": "each packet to the next instance",
    "direction": "each direction to another instance",
}
LIMIT_MS = 40  # of silence: a story keeps every core busy, and what is merely slow is not to fill the screen
BASELINE_LIMIT_MS = 200  # a false suspicion moves traffic, which breaks connections where state is local


@dataclass(frozen=True)
class Request:
    """What is to be shown. `switch`, `size` (bytes of a download): None: what the story chooses."""

    baseline: bool
    quick: bool
    switch: SwitchKind | None
    files: int
    size: int | None
    json: bool
    output: Path


@dataclass(frozen=True)
class Scene:
    """How one story, or a part of it, is set."""

    baseline: bool
    switch: SwitchKind
    spread: Spread
    instances: int
    size: int = 1  # bytes of a file
    files: int = 1


@dataclass(frozen=True)
class Stage:
    """A scene that is ready: traffic gets through."""

    subject: Orchestrated
    bed: Bed


def best_switch(wanted: SwitchKind | None) -> SwitchKind:
    """Open vSwitch where it is installed, unless something else is wanted."""
    return wanted or ("openvswitch" if open_vswitch_is_there() else "nftables")


@contextmanager
def stage(view: View, scene: Scene) -> Iterator[Stage]:
    """Everything is gone when the block ends, however it ends. Raises LabError, BuildError."""
    store = "memory" if scene.baseline else "embedded"
    view.say(f"switch: {SWITCHES[scene.switch]}; {SPREADS[scene.spread]}")
    view.say(f"snf up: {scene.instances} instances of firewall at most (compiled now if it is not yet), store {store}")
    build(find_function("firewall"))

    def make(stack: ExitStack, lab: Lab, instances: int) -> Orchestrated:
        limit = BASELINE_LIMIT_MS if scene.baseline else LIMIT_MS
        return Orchestrated(stack, lab, store, instances, UDP, switch=scene.switch, spread=scene.spread, limit_ms=limit)

    with bed("demo", scene.instances, scene.size, scene.files, {"demo": make}) as made:
        assert isinstance(made.subject, Orchestrated)
        yield Stage(made.subject, made)
