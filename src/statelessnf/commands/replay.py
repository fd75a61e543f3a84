"""`snf replay`: a capture through instances of a deployment, a new capture and a summary out."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from statelessnf import _engine
from statelessnf.builder import build
from statelessnf.capture import CaptureReader, CaptureWriter
from statelessnf.commands.replay_view import Summary, show, with_progress
from statelessnf.config import Deployment, parse, read_document
from statelessnf.errors import CaptureError, StoreUnavailable
from statelessnf.figures import added
from statelessnf.pipe_options import pipe_options
from statelessnf.replay import WINDOW, Replay
from statelessnf.routing import Router
from statelessnf.split import Split
from statelessnf.store.checks import StoreAccess
from statelessnf.store_access import open_store

SLOTS = 2 * WINDOW  # packets that a pipe has room for
LARGEST_FRAME = 65_550  # bytes: an IP packet of the largest size and its Ethernet header; captures hold merged segments
CONNECT_SECONDS = 5.0
PATIENCE_MS = (
    60_000  # packets wait so long for a store that does not answer: the capture's clock stands still meanwhile
)
LINGER_MS = 3_600_000  # records outlive the capture's clock in the store by this much: its clock is the machine's


@dataclass(frozen=True)
class ReplayRequest:
    """The arguments of the command; `store` and `cache` replace what the deployment file says."""

    file: Path
    capture: Path
    output: Path
    instances: int | None = None
    split: Split = Split.flow
    store: str | None = None
    cache: str | None = None
    json: bool = False
    capture_drops: Path | None = None

    @property
    def count(self) -> int:
        """Of instances."""
        return self.instances or (1 if self.split is Split.flow else 2)


def replay(request: ReplayRequest) -> None:
    """Runs the command and prints its summary. Raises SnfError; then no output file is left."""
    deployment = _deployment(request)
    _distinct(request)
    program = build(deployment.function_class)
    with ExitStack() as stack:
        reader = stack.enter_context(CaptureReader(request.capture))
        store = stack.enter_context(_store(deployment))
        out = stack.enter_context(CaptureWriter(request.output, nanoseconds=reader.nanoseconds))
        lost = _drops_writer(stack, request.capture_drops, reader)
        options = _options(deployment, program, store)
        pipes = [_engine.Pipe(options) for _ in range(request.count)]
        _connect(pipes, deployment)
        router = Router(lambda frame: _engine.describe(frame, 0, 0), deployment.inside, request.count, request.split)
        began = time.monotonic()
        packets = reader if request.json else with_progress(reader, request.capture)
        totals = Replay(pipes, router, out.write, lost, LARGEST_FRAME).run(packets)
        seconds = time.monotonic() - began
        stats = added(pipe.stats() for pipe in pipes)
    show(Summary(deployment, request.count, request.split, totals, stats, seconds), as_json=request.json)


def _deployment(request: ReplayRequest) -> Deployment:
    document = read_document(request.file)
    changes = {name: value for name, value in (("url", request.store), ("cache", request.cache)) if value is not None}
    if changes and isinstance(document.get("store", {}), dict):
        document["store"] = {**document.get("store", {}), **changes}
    return parse(document, request.file)


def _distinct(request: ReplayRequest) -> None:
    """The output may not be the input: it would replace what is being read."""
    for output in (request.output, request.capture_drops):
        if output is not None and output.exists() and request.capture.exists() and output.samefile(request.capture):
            raise CaptureError("the output is the input", str(output), "write to another file")
    if request.capture_drops is not None and request.capture_drops.absolute() == request.output.absolute():
        raise CaptureError("dropped and forwarded packets would go to one file", str(request.output), "name two files")


@contextmanager
def _store(deployment: Deployment) -> Iterator[StoreAccess | None]:
    """A replay has an embedded store of its own: it must not meet the records of a running deployment."""
    with (
        tempfile.TemporaryDirectory(prefix="snf-replay-") as folder,
        open_store(deployment, Path(folder) / "run") as store,
    ):
        yield None if store is None else store.access


def _drops_writer(stack: ExitStack, path: Path | None, reader: CaptureReader) -> Any:
    if path is None:
        return None
    return stack.enter_context(CaptureWriter(path, nanoseconds=reader.nanoseconds)).write


def _connect(pipes: list[_engine.Pipe], deployment: Deployment) -> None:
    """Until every pipe has its store: what enters before would be dropped. Raises StoreUnavailable."""
    deadline = time.monotonic() + CONNECT_SECONDS
    for pipe in pipes:
        while not pipe.available():
            pipe.step()
            if time.monotonic() > deadline:
                raise StoreUnavailable(pipe.last_error(), deployment.store.address.shown(), "start it again")
            os.sched_yield()


def _options(deployment: Deployment, program: Path, store: StoreAccess | None) -> dict[str, Any]:
    """Of every pipe. Rules are looked up one by one: that is quick enough here, and needs no DPDK."""
    options = pipe_options(deployment, program, store)
    options["deployment"] = secrets.randbits(32)  # nobody else's records in a shared store
    options["limits"] |= {"packets": SLOTS, "flights": SLOTS, "new_flows_per_s": 0}  # 0: no limit
    options["limits"] |= {"linger_ms": LINGER_MS, "stale_ms": PATIENCE_MS}
    return options | {"frames": SLOTS, "frame_size": LARGEST_FRAME, "captured": SLOTS}
