"""The shapes of traffic of §7.2.1: long flows, short flows, and the flows of a real capture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from statelessnf import _engine
from statelessnf.bench.deployments import Service
from statelessnf.capture import CaptureReader
from statelessnf.config import Deployment
from statelessnf.errors import CaptureError
from statelessnf.routing import Router
from statelessnf.split import Split

FRAME_CHECK, SHORTEST = 4, 64  # bytes
CAPTURED_OPEN = 2000  # flows of a capture under way at a time


@dataclass(frozen=True)
class Shape:
    """Traffic of one kind; `traffic` makes a pipe that eats it."""

    name: str
    frame_bytes: int  # with FCS; the mean for a capture
    packets_per_flow: float
    open_flows: int
    service: Service | None = None  # whom the clients of a function that rewrites ask
    frames: tuple[tuple[int, bytes, int], ...] = field(default=(), repr=False)  # of a capture: side, frame, flow

    def traffic(self, options: Mapping[str, Any]) -> _engine.Traffic:
        if self.frames:
            mirrored = self.service is not None
            return _engine.Traffic.capture(options, list(self.frames), self.open_flows, mirrored=mirrored)
        packets = int(self.packets_per_flow)
        return _engine.Traffic.flows(options, packets, self.open_flows, self.frame_bytes, service=self.service)


def long_flows(frame_bytes: int, service: Service | None = None) -> Shape:
    return Shape("long", frame_bytes, 10_000, 3_000, service)


def short_flows(frame_bytes: int, service: Service | None = None) -> Shape:
    return Shape("short", frame_bytes, 100, 3_000, service)


def new_flows(service: Service | None = None) -> Shape:
    """A SYN each, and no more."""
    return Shape("new", SHORTEST, 1, 1_000, service)


def captured_flows(path: Path, deployment: Deployment, service: Service | None = None) -> Shape:
    """The TCP flows of a capture; sides by the deployment's `inside` networks. Raises CaptureError."""
    router = Router(lambda frame: _engine.describe(frame, 0, 0), deployment.inside, 1, Split.flow)
    flows: dict[tuple[bytes, ...], int] = {}
    frames: list[tuple[int, bytes, int]] = []
    with CaptureReader(path) as reader:
        for number, packet in enumerate(reader):
            side, _, keys = router.route(packet.frame, number)
            if keys:
                frames.append((side, packet.frame, flows.setdefault(keys, len(flows))))
    if not frames:
        raise CaptureError("has no packet of any flow", str(path), "give a capture of TCP or UDP traffic")
    size = sum(len(frame) + FRAME_CHECK for _, frame, _ in frames) / max(len(frames), 1)
    return Shape("enterprise", round(size), len(frames) / max(len(flows), 1), CAPTURED_OPEN, service, tuple(frames))
