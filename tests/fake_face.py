"""A deployment that is only told of: the contract `Face` without processes, hosts or a switch, and `Records` in a dict.

What is done to it shows in it at once, and each thing that is done is an event. `leader = False` makes it a standby,
`failing` is raised by whatever would change something.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from statelessnf.config import parse, tables
from statelessnf.config_errors import nearest
from statelessnf.errors import NotFound, NotLeader, Refused, SnfError
from statelessnf.orchestrator.face import (
    DeploymentDocument,
    EventDocument,
    HostDocument,
    InstanceDocument,
    LoadDocument,
    SteeringDocument,
)
from statelessnf.records.records import EndDocument, Filter, Page, RecordDocument

FIGURES = {
    "received": 1000, "received_bytes": 64_000, "forwarded": 990, "forwarded_bytes": 63_000, "dropped": 10,
    "drops": {"rule_denied": 7, "malformed": 3}, "new_flows": 12, "cache_hits": 900, "reads": 40, "commits": 24,
    "refreshes": 2, "conflicts": 1, "records": 11, "store_available": True,
    "latency_us": {"count": 990, "p50": 12.5, "p95": 20.0, "p99": 40.0, "max": 100.0},
    "store_latency_us": {"count": 64, "p50": 30.0, "p95": 50.0, "p99": 60.0, "max": 61.0},
}  # fmt: skip


def instance(name: str, slot: int, **differing: object) -> InstanceDocument:
    document = InstanceDocument(
        name=name, host="here", slot=slot, revision=1, pipes=1, health="live", health_seconds=12.5, steered=True,
        drained=False, faults=0, beats=2500,
        load=LoadDocument(utilisation=0.25, receive_drops=0.0, latency_us=14.0, packets=5000.0), figures=dict(FIGURES),
    )  # fmt: skip
    return document.model_copy(update=differing)


class FakeFace:
    """See the top of this file."""

    def __init__(self, size: int = 2) -> None:
        self.known = {name: instance(name, slot) for slot, name in enumerate(f"edge-{n + 1}" for n in range(size))}
        self.wanted: int | None = None
        self.revision, self.leader, self.ended = 1, True, False
        self.failing: SnfError | None = None
        self.problem, self.host_problem, self.followers = "", "", 0
        self.log: list[EventDocument] = []
        self._more = asyncio.Event()
        self.tell("start", "", "the orchestrator begins")

    def tell(self, kind: str, name: str, text: str) -> None:
        number = len(self.log) + 1
        event = EventDocument(number=number, time=1_700_000_000.0 + number, kind=kind, instance=name, text=text)
        self.log.append(event)
        self._more.set()
        self._more = asyncio.Event()

    def deployment(self) -> DeploymentDocument:
        return DeploymentDocument(
            name="edge", function="firewall", revision=self.revision, leader=self.leader, size=self.wanted or 2,
            pipes=1, minimum=1, maximum=4, spares=1, scaling=self.wanted is None, settled=True, store="embedded",
            problem=self.problem,
        )  # fmt: skip

    def instances(self) -> list[InstanceDocument]:
        return list(self.known.values())

    def hosts(self) -> list[HostDocument]:
        return [
            HostDocument(
                name="here", driver="process", reachable=True, cores=[0, 1], memory_mb=2048, slots=4,
                used=len(self.known), interfaces=["in0", "out0"], problem=self.host_problem,
            )
        ]  # fmt: skip

    def steering(self) -> SteeringDocument:
        members = [one.name for one in self.known.values() if one.steered]
        traffic = dict.fromkeys(members, 500)
        return SteeringDocument(
            kind="nftables", connected=True, spread="flow", members=members, traffic=traffic, problem=""
        )

    def events(self, after: int = 0, most: int = 1000) -> Sequence[EventDocument]:
        return self.log[after : after + most]

    async def follow(self, after: int) -> AsyncIterator[EventDocument]:
        self.followers += 1
        try:
            while True:
                more = self._more
                for event in self.events(after):
                    yield event
                    after = event.number
                if self.ended:
                    return
                await more.wait()
        finally:
            self.followers -= 1

    async def scale(self, size: int | None) -> None:
        self._check()
        if size is not None and not 1 <= size <= 4:
            raise Refused(f"{size} instances are outside of minimum 1 and maximum 4", do="change the deployment file")
        self.wanted = size
        self.tell("scale", "", f"size is {size}")

    async def drain(self, name: str, drained: bool) -> None:
        self._check()
        self.known[name] = self._instance(name).model_copy(update={"drained": drained, "steered": not drained})
        self.tell("drain", name, "no traffic" if drained else "traffic again")

    async def kill(self, name: str) -> None:
        self._check()
        self.known[name] = self._instance(name).model_copy(update={"health": "ended", "steered": False})
        self.tell("kill", name, "SIGKILL")

    async def reload(self, text: str) -> int:
        self._check()
        parse(tables(text, Path("deployment")), Path("deployment"))
        self.revision += 1
        self.tell("reload", "", f"revision {self.revision}")
        return self.revision

    async def down(self) -> None:
        self._check()
        self.tell("down", "", "the orchestrator ends")
        self.ended = True
        self._more.set()

    def _check(self) -> None:
        if not self.leader:
            raise NotLeader("another orchestrator leads this deployment", "http://192.0.2.7:8470", "ask that one")
        if self.failing is not None:
            raise self.failing

    def _instance(self, name: str) -> InstanceDocument:
        if name not in self.known:
            raise NotFound(f"there is no instance {name!r}", do=nearest(name, list(self.known), ""))
        return self.known[name]


class FakeRecords:
    """`Records` of some flows: `10.0.0.N:40000 -> 198.51.100.7:443`, N from 1; `failing` is raised by everything."""

    def __init__(self, count: int = 5) -> None:
        self.known = {f"flow-{n}": record(n) for n in range(1, count + 1)}
        self.failing: SnfError | None = None

    def list(self, filter: Filter, cursor: str = "", limit: int = 100) -> Page:
        self._check()
        if cursor and not cursor.isdecimal():
            raise Refused("the cursor is none of ours", cursor[:40], "begin again without one")
        start = int(cursor or 0) if len(cursor) < 10 else 0
        found = [one for one in self.known.values() if _fits(one, filter)]
        rest = str(start + limit) if start + limit < len(found) else ""
        return Page(records=found[start : start + limit], cursor=rest)

    def inspect(self, id: str) -> RecordDocument:
        self._check()
        if id not in self.known:
            raise NotFound(f"there is no record {id!r}")
        return self.known[id]

    def modify(self, id: str, changes: dict[str, int]) -> RecordDocument:
        before = self.inspect(id)
        for name, value in changes.items():
            if name not in before.record or not 0 <= value <= 255:
                raise Refused(f"{name} cannot be {value}", name)
        self.known[id] = before.model_copy(update={"record": before.record | changes})
        return self.known[id]

    def delete(self, id: str) -> RecordDocument:
        self.inspect(id)
        return self.known.pop(id)

    def _check(self) -> None:
        if self.failing is not None:
            raise self.failing


def record(n: int) -> RecordDocument:
    """Of flow number `n`; every second one is in state 3."""
    return RecordDocument(
        id=f"flow-{n}", protocol="tcp", low=EndDocument(address=f"10.0.0.{n}", port=40_000),
        high=EndDocument(address="198.51.100.7", port=443), record={"state": 3 if n % 2 else 1, "flags": 1},
        deadline_ms_left=1000 * n, size=64,
    )  # fmt: skip


def _fits(one: RecordDocument, filter: Filter) -> bool:
    ends = (one.low, one.high)
    network, port = filter.network, filter.port
    return (
        (network is None or any(ip_address(end.address) in network for end in ends))
        and (port is None or any(end.port == port for end in ends))
        and filter.protocol in (None, one.protocol)
        and all(one.record.get(name) == value for name, value in filter.fields.items())
    )
