"""Functions that rewrite, over a real store behind a proxy that does harm: no flow loses its mapping or its server.

Records outlive the test by far, so what has once left binds everything that comes later, from whichever instance: the
same outer endpoint, nobody else's, and answers that find who opened the flow. What no instance could ask the store for
is dropped under a name of the engine's; never, for a flow that has left, as if there were none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import valkey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import running_valkey
from engine_world import ENVELOPE, Sample
from pairs_subject import PairSubject, ends_of, partner
from pairs_traffic import INSIDE, OUTSIDE, REMOTE, VIRTUAL, balancer_subject, nat_subject, sample
from statelessnf._engine import Pipe, describe
from statelessnf.store.client import StoreClient
from statelessnf.store.library import ensure_library
from statelessnf.store.url import unix_url
from store_harm import PLAN, do, proxied
from test_store_faults import STALE_MS, Engine

pytestmark = pytest.mark.beside

TAG = 4
UNKNOWN = {"store_unavailable", "unknown_outcome"}
REFUSED = {"no_port_left", "address_in_use"}
STEPS = 100  # between two harms, so that some of what they meet is under way
RANDOM = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


class PairEngine(Engine):
    """Its packets are samples; `frames` by token as they left."""

    def __init__(self, socket: Path, mode: str, subject: PairSubject) -> None:
        store = {"address": f"unix:{socket}", "stale_ms": STALE_MS}
        limits = {"flows": 256, "packets": 1024, "stale_ms": STALE_MS}
        options = {"mode": mode, "store": store, "deployment": 7, "secret": 11, "limits": limits}
        self.pipe = Pipe({**subject.options, **options, "frames": 1024, "frame_size": 256, "captured": 1024})
        self.sent, self.samples = 0, list[Sample]()
        self.ends: dict[int, str] = {}
        self.frames: dict[int, bytes] = {}
        self._reasons = subject.function.drop_reasons

    def open(self, one: Sample) -> None:
        """It is sent, and may leave later."""
        assert self.pipe.inject(one.frame, one.side, self.sent)
        self.samples.append(one)
        self.sent += 1
        self.step()

    def step(self) -> None:
        """See Engine."""
        self.pipe.step()
        for token, _, left in self.pipe.collect():
            self._end(token, "forward")
            self.frames[token] = left
        for token, reason, own, _ in self.pipe.dropped():
            self._end(token, self._reasons[own] if own >= 0 else reason)

    def pass_through(self, one: Sample) -> int:
        """It is sent until the store could be asked about it; the token of the last time."""
        self.open(one)
        self.until(lambda: len(self.ends) == self.sent)
        if self.ends[self.sent - 1] not in UNKNOWN:
            return self.sent - 1
        self.ready()
        return self.pass_through(one)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with running_valkey(tmp_path_factory.mktemp("store")) as socket:
        with StoreClient(unix_url(str(socket))) as client:
            ensure_library(client)
        yield socket


def nat_packet(value: int) -> Sample:
    """Of three hosts with one port each for two kinds of remote endpoint: there is room for all of them."""
    host, protocol = f"10.0.0.{value % 3 + 1}", ("udp", "tcp")[value // 3 % 2]
    ends = (host, 5000, REMOTE, 53 if protocol == "udp" else 80)
    return sample(protocol, ends, INSIDE, ("S", "A")[value // 6 % 2] if protocol == "tcp" else "")


def balancer_packet(value: int) -> Sample:
    """Of three clients with one port each for two services."""
    ends = (f"198.51.100.{value % 3 + 1}", 4000, VIRTUAL, (80, 443)[value // 3 % 2])
    return sample("tcp", ends, OUTSIDE, ("S", "S", "A")[value // 6 % 3])


def settle(engines: list[PairEngine]) -> None:
    """Everything has an end."""
    for engine in engines:
        engine.ready()
        engine.until(engine.pipe.idle)
        assert len(engine.ends) == engine.sent


def mappings(engines: list[PairEngine]) -> dict[bytes, bytes]:
    """By packet record as received: as it left, always the same way, and no two flows alike."""
    found: dict[tuple[int, Any], Any] = {}
    frames: dict[bytes, bytes] = {}
    for engine in engines:
        for token, left in engine.frames.items():
            before, after = (ends_of(describe(frame, 0, 0)[2]) for frame in (engine.samples[token].frame, left))
            protocol = engine.samples[token].frame[23]
            assert found.setdefault((protocol, before), after) == after, f"{before} left in two ways"
            frames[engine.samples[token].frame] = left
    assert len({(key[0], after) for key, after in found.items()}) == len(found), f"two flows left alike: {found}"
    return frames


def whole(client: Any) -> set[bytes]:
    """The records, each of which stands under both of its keys and no others."""
    keys = [key for key in client.scan_iter() if key[8:9] == b"f"]
    values = {key[TAG:]: client.get(key) for key in keys}
    for key, value in values.items():
        assert values.get(partner(key, value)) == value, f"the pair of {key.hex()} is broken"
    assert set(Counter(values.values()).values()) <= {2}
    return set(values.values())


def counted(client: Any) -> Counter[int]:
    """What the store counts, by server."""
    found: Counter[int] = Counter()
    for key in client.scan_iter(match="*cflows"):
        for name, number in client.hgetall(key).items():
            found[int.from_bytes(name, "little")] += int(number)
    return found


def harm(server: Path, mode: str, subject: PairSubject, packet: object, plan: list[tuple[str, int]]) -> set[bytes]:
    """Carries a plan out; gives the records that the store ends with."""
    assert callable(packet)
    with valkey.Valkey(unix_socket_path=str(server)) as client, proxied(server) as proxy:
        client.flushall()
        engines = [PairEngine(proxy.path, mode, subject) for _ in range(2)]
        for step, (what, value) in enumerate(plan):
            do(proxy, what, value)
            if step % 3 == 2:  # or most packets would meet no store at all
                do(proxy, "allow", 0)
                do(proxy, "resume", 0)
            for number in range(8):
                engines[number % 2].open(packet(value + number // 2 * (1 + value % 3)))
            for _ in range(STEPS):
                for engine in engines:
                    engine.step()
        for what in ("calm", "allow", "resume"):
            do(proxy, what, 0)
        settle(engines)
        frames = mappings(engines)
        records = whole(client)
        assert not set().union(*(engine.ends.values() for engine in engines)) & REFUSED
        answer(engines, frames)
        if subject.function.counter:
            fields = [subject.row(value) for value in records]
            assert counted(client) == Counter(int(row["server"]) for row in fields if row["counted"])
    return records


def answer(engines: list[PairEngine], frames: dict[bytes, bytes]) -> None:
    """Whoever got a packet answers, through each instance: it finds the sender."""
    for engine in engines:
        for received, left in frames.items():
            (source, port), (destination, other) = ends_of(describe(left, 0, 0)[2])
            side = OUTSIDE if ends_of(describe(received, 0, 0)[2])[0][0].startswith("10.") else INSIDE
            protocol = {6: "tcp", 17: "udp"}[left[23]]
            flags = "A" if protocol == "tcp" else ""
            token = engine.pass_through(sample(protocol, (destination, other, source, port), side, flags))
            assert engine.ends[token] == "forward"
            assert ends_of(describe(engine.frames[token], 0, 0)[2]) == ends_of(describe(received, 0, 0)[2])[::-1]


modes = st.sampled_from(["off", "tracked"])


@RANDOM
@given(plan=PLAN, mode=modes, filtering=st.sampled_from(["address-and-port", "endpoint-independent"]))
def test_the_nat_keeps_its_mappings(server: Path, plan: list[tuple[str, int]], mode: str, filtering: str) -> None:
    harm(server, mode, nat_subject(filtering), nat_packet, plan)


@RANDOM
@given(plan=PLAN, mode=modes)
def test_the_balancer_keeps_its_servers(server: Path, plan: list[tuple[str, int]], mode: str) -> None:
    records = harm(server, mode, balancer_subject("reset"), balancer_packet, plan)
    assert all(record[0] == 1 and len(record) > ENVELOPE for record in records)
