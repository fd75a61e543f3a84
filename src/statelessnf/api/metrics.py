"""GET /metrics: what Prometheus scrapes, in its text format.

Made anew for each scrape, of what the face shows then: nothing is registered, there is no global state. Heartbeats are
answered within milliseconds by the same loop, so it gets its turn after each family.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector
from starlette.responses import Response

from statelessnf.api import families
from statelessnf.api.state import TheFace
from statelessnf.orchestrator.face import Face

router = APIRouter(tags=["metrics"])
TEXT = "text/plain; version=0.0.4; charset=utf-8"
_RESPONSE = {"content": {"text/plain": {"schema": {"type": "string"}}}}
MOST = 1000  # events looked at in one go


class EventCounts:
    """Events by kind, since the orchestrator began: the face may forget old ones, a counter must not."""

    def __init__(self) -> None:
        self._last = 0
        self._counts: dict[str, int] = {}

    def counted(self, face: Face) -> dict[str, int]:
        """Up to now."""
        while events := face.events(self._last, MOST):
            for event in events:
                kind = families.word(event.kind, self._counts)
                self._counts[kind] = self._counts.get(kind, 0) + 1
            self._last = events[-1].number
        return self._counts


class _One(Collector):
    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


@router.get("/metrics", response_class=Response, responses={200: _RESPONSE})
async def get_metrics(request: Request, face: TheFace) -> Response:
    """Prometheus' text format, version 0.0.4."""
    counts: EventCounts = request.app.state.event_counts
    parts = []
    for family in _families(face, counts):
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_One(family))
        parts.append(generate_latest(registry))
        await asyncio.sleep(0)
    return Response(b"".join(parts), media_type=TEXT)


def _families(face: Face, counts: EventCounts) -> Iterator[Metric]:
    yield from families.of_deployment(face.deployment())
    yield from families.of_hosts(face.hosts())
    yield from families.of_steering(face.steering())
    yield families.of_events(counts.counted(face))
    yield from families.of_instances(face.instances())
