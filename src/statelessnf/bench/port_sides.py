"""The sides of a comparison on real ports: processes in the middle, each with traffic of its own through it.

A side is a process (an instance run by `snf run`, or the plain forwarder) between two ports whose other ends are ours.
All sides are up all the time and take turns: a process through which nothing goes sleeps.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from statelessnf import _engine
from statelessnf.bench.deployments import Document, Service, toml_text
from statelessnf.errors import LabError, StartFailed
from statelessnf.lab.instances import Instance, run_command
from statelessnf.namespaces import Namespace, stop

PLAIN = "plain"
READY_SECONDS = 30.0
TRY_SECONDS = 0.02
TRY_WINDOW = 256  # packets
ESTABLISHED = 8  # packets of a flow: then it is past its handshake, and its cached record has settled
ENGINE_MEMORY_MB = 512


class OwnNetwork(Namespace):
    """The network that we are in; for processes whose ports need no other."""

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Nothing to enter."""
        yield


OWN_NETWORK = OwnNetwork("")


class Place(NamedTuple):
    """Where one side's process runs, and the DPDK devices (inside, outside) at both ends of its links."""

    namespace: Namespace
    its: tuple[str, str]
    ours: tuple[str, str]
    our_namespace: Namespace


class Load(NamedTuple):
    """TCP flows made on the fly; `frame_bytes` with the FCS; `service`: see statelessnf.bench.deployments."""

    packets: int
    open_flows: int
    frame_bytes: int
    service: Service | None = None


def command_for(mode: str, place: Place, folder: Path, document: Document) -> Sequence[str]:
    """The process of one side: an instance of a deployment made for it in `folder`, or the plain forwarder."""
    if mode == PLAIN:
        return [sys.executable, "-m", "statelessnf.bench.plain", *place.its]
    path = folder / f"{mode}.toml"
    store = {"url": "memory"} if mode == "baseline" else {**document["store"], "cache": mode}
    ports = dict(zip(("inside", "outside"), place.its, strict=True))
    instance = {**document["instance"], "ports": ports, "run_directory": f"{folder}/run"}
    path.write_text(toml_text({**document, "name": f"bench-{mode}", "store": store, "instance": instance}))
    return run_command(path)


class PortSide:
    """One process in the middle and the traffic through it. `mode`: a mode of the engine, or `plain`."""

    def __init__(self, number: int, mode: str, place: Place, load: Load, folder: Path, document: Document) -> None:
        self.mode, self._load = mode, load
        log = folder / f"{mode}.log"
        try:
            _engine.start_eal(ENGINE_MEMORY_MB)
            with place.our_namespace.entered():
                # Before the process: ours are the ends that memif calls servers.
                self.trips = _engine.RoundTrips(*place.ours, **load._asdict(), seed=number + 1)
        except RuntimeError as error:
            raise StartFailed(str(error), "snf bench") from error
        self.process = Instance(number, place.namespace, command_for(mode, place, folder, document), log)
        self._ours: dict[str, int] = {}
        self._its: dict[str, Any] = {}
        self._before: dict[str, Any] = {}

    def wait_ready(self) -> None:
        """Until packets come back, the store is there, and all flows are under way.

        Raises LabError if the process ends, StartFailed if it takes too long.
        """
        deadline = time.monotonic() + READY_SECONDS
        while not (self.process.figures.get("store_available") and self._passes()):
            self._wait_a_little(deadline)
        while self.trips.counts()["returned"] < ESTABLISHED * self._load.open_flows:
            self._wait_a_little(deadline)
            self._passes()

    def mark(self) -> None:
        """Figures that the process has told so far are old ones for `forget`. Raises LabError if it has ended."""
        self._look()
        self._before = self.process.figures

    def forget(self) -> None:
        """Counts begin here: with figures since `mark`, which know of all packets until then. Raises as above."""
        deadline = time.monotonic() + READY_SECONDS
        while self.process.figures is self._before:
            self._wait_a_little(deadline)
        self._ours, self._its = self.trips.counts(), self.process.figures

    def _wait_a_little(self, deadline: float) -> None:
        self._look()
        if time.monotonic() > deadline:
            raise StartFailed(f"nothing came back in {READY_SECONDS:g} s", f"snf bench: {self.mode}")
        time.sleep(TRY_SECONDS)

    def _look(self) -> None:
        """Take in what the process says. Raises LabError if it has ended."""
        self.process.read_figures()
        if not self.process.alive:
            raise self.process.lost()

    def _passes(self) -> bool:
        return self.trips.link_up() and self.trips.saturate(TRY_SECONDS, TRY_WINDOW)[0] > 0

    def mpps(self, seconds: float, window: int, warm_up: float) -> float:
        """Packets that came back in one slice, after one that does not count. Raises LabError if there are none."""
        self.trips.saturate(warm_up, window)
        returned, ns = self.trips.saturate(seconds, window)
        self._check(returned)
        return returned / ns * 1e3

    def round_trips(self, seconds: float, rate: float, warm_up: float) -> bytes:
        """Nanoseconds of each packet of one slice, as 32-bit numbers. Raises LabError if nothing comes back."""
        self.trips.pace(warm_up, rate)
        taken = self.trips.pace(seconds, rate)
        self._check(len(taken))
        return taken

    def _check(self, returned: int) -> None:
        self._look()
        if returned == 0:
            raise LabError(f"not one packet came back through {self.mode}", "snf bench", "run it with longer slices")

    def counts(self) -> dict[str, int]:
        """Our own counts since the side was ready."""
        return {name: count - self._ours[name] for name, count in self.trips.counts().items()}

    def end(self) -> dict[str, int]:
        """Stop the process; what it counted since it was ready: packets forwarded, reads, commits."""
        stop(self.process.process)
        self.process.read_figures()
        return {name: self.process.figures[name] - self._its[name] for name in ("forwarded", "reads", "commits")}

    def close(self) -> None:
        """End the process, if it still runs, and let go of our ports and their buffers."""
        self.process.close()
        del self.trips


@contextmanager
def port_sides(places: dict[str, Place], load: Load, folder: Path, document: Document) -> Iterator[dict[str, PortSide]]:
    """A side for each mode in `places`, ready, and ended with the context. `document`: a deployment's tables.

    Raises StartFailed, LabError.
    """
    sides: dict[str, PortSide] = {}
    try:
        for number, (mode, place) in enumerate(places.items()):
            sides[mode] = PortSide(number, mode, place, load, folder, document)
        for side in sides.values():
            side.wait_ready()
        for side in sides.values():  # all of them first: each tells its figures once a second
            side.mark()
        for side in sides.values():
            side.forget()
        yield sides
    finally:
        for side in sides.values():
            side.close()
