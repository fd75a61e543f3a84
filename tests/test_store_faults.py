"""Real engines over a real store behind a proxy that does harm: everything recovers by itself, nothing is unaccounted.

Stalls, cuts, truncated replies and refused connections, in every order that Hypothesis thinks of; and the one promise
that an operator reads about: with the store gone, cached flows go on for `stale_ms`, new ones drop as
`store_unavailable`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import valkey
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

import tally_function as tally
from fault_proxy import FaultProxy
from statelessnf._engine import Pipe
from statelessnf.builder import build
from store_harm import PLAN, do, proxied
from tally_function import Tally

STALE_MS = 300
PATIENCE_S = 60.0


def segment(flow: int, order: int, name: int, about: int = 0) -> bytes:
    ends = {"sport": 1000 + flow, "dport": 80}
    return bytes(Ether() / IP(src="10.0.0.1", dst="198.18.0.1") / TCP(**ends, seq=name, ack=about, window=order))


class Engine:
    """One pipe with its own connection; counts what goes in and what comes out."""

    def __init__(self, socket: Path, mode: str = "tracked", stale_ms: int = STALE_MS) -> None:
        store = {"address": f"unix:{socket}", "stale_ms": stale_ms}
        self.pipe = Pipe(
            {"program": str(build(Tally)), "mode": mode, "store": store, "deployment": 1, "secret": 2, "frames": 1024,
             "frame_size": 256, "captured": 1024, "limits": {"flows": 256, "packets": 1024, "stale_ms": stale_ms}}
        )  # fmt: skip
        self.sent = 0
        self.ends: dict[int, str] = {}

    def send(self, frame: bytes) -> int:
        token = self.sent
        assert self.pipe.inject(frame, 0, token)
        self.sent += 1
        self.step()
        return token

    def step(self) -> None:
        self.pipe.step()
        for token, _, _ in self.pipe.collect():
            self._end(token, "forward")
        for token, reason, _, _ in self.pipe.dropped():
            self._end(token, reason)

    def _end(self, token: int, verdict: str) -> None:
        assert token not in self.ends, "a packet ended twice"
        self.ends[token] = verdict

    def until(self, done: Callable[[], bool]) -> None:
        """Step until `done`; AssertionError if that takes too long."""
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline, (self.pipe.last_error(), Counter(self.ends.values()))
            self.step()

    def verdict(self, frame: bytes) -> str:
        """What becomes of a packet."""
        token = self.send(frame)
        self.until(lambda: token in self.ends)
        return self.ends[token]

    def recovered(self, frame: bytes) -> None:
        """Until such a packet is forwarded."""
        self.until(lambda: self.verdict(frame) == "forward")

    def ready(self) -> None:
        self.until(self.pipe.available)


@pytest.fixture
def proxy(valkey_server: Path) -> Iterator[FaultProxy]:
    with proxied(valkey_server) as proxy:
        yield proxy


def cached(engine: Engine, flow: int) -> None:
    """A flow that is answered from the cache from now on."""
    assert engine.verdict(segment(flow, tally.COUNT, 1)) == "forward"
    before = engine.pipe.stats()["cache_hits"]
    while engine.pipe.stats()["cache_hits"] == before:
        assert engine.verdict(segment(flow, tally.ASK, 2, 1)) == "forward"


@pytest.mark.parametrize("harm", ["refused", "stalled"])
def test_without_the_store_cached_flows_go_on_for_a_while(proxy: FaultProxy, harm: str) -> None:
    engine = Engine(proxy.path)
    engine.ready()
    cached(engine, 0)
    start = time.monotonic()
    if harm == "refused":
        proxy.refuse()
        proxy.cut()
        engine.until(lambda: not engine.pipe.available())
        assert engine.verdict(segment(1, tally.COUNT, 3)) == "store_unavailable"
    else:
        proxy.stall()
    served = 0
    while (verdict := engine.verdict(segment(0, tally.ASK, 4, 1))) == "forward":
        served += 1
    lasted = time.monotonic() - start
    assert verdict == "store_unavailable"
    assert served > 0
    assert lasted > STALE_MS / 1000 / 2  # the last answered request may have been sent a quarter of it before
    assert lasted < STALE_MS / 1000 + 10
    proxy.refuse(False)
    proxy.resume()
    engine.ready()
    assert engine.verdict(segment(0, tally.ASK, 5, 1)) == "forward"
    assert engine.verdict(segment(1, tally.COUNT, 6)) == "forward"
    engine.until(engine.pipe.idle)
    assert len(engine.ends) == engine.sent


def test_starts_before_its_store(proxy: FaultProxy) -> None:
    proxy.refuse()
    engine = Engine(proxy.path)
    assert engine.verdict(segment(0, tally.COUNT, 1)) == "store_unavailable"
    proxy.refuse(False)
    engine.ready()
    assert engine.verdict(segment(0, tally.COUNT, 2)) == "forward"


@pytest.mark.parametrize("through", [1, 2])
def test_a_lost_acknowledgement_counts_once(proxy: FaultProxy, valkey_server: Path, through: int) -> None:
    """The commit is executed, and its reply of three bytes cut short."""
    engine = Engine(proxy.path, mode="off", stale_ms=5000)
    engine.ready()
    proxy.delay(0.05)  # so that the order to cut comes before the reply
    token = engine.send(segment(0, tally.COUNT, 1))
    engine.until(lambda: engine.pipe.stats()["commits"] == 1)
    proxy.truncate(through)
    engine.until(lambda: token in engine.ends)
    assert engine.ends[token] == "forward"
    assert engine.pipe.stats()["unknown_outcomes"] == 1
    assert engine.pipe.stats()["commits"] == 1
    with valkey.Valkey(unix_socket_path=str(valkey_server)) as client:
        (value,) = [client.get(key) for key in client.scan_iter()]
    assert value is not None
    assert int.from_bytes(value[18:22], "little") == 1


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from conftest import running_valkey

    with running_valkey(tmp_path_factory.mktemp("store")) as socket:
        yield socket


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plan=PLAN, mode=st.sampled_from(["off", "tracked"]))
def test_all_kinds_of_harm(shared_server: Path, plan: list[tuple[str, int]], mode: str) -> None:
    with valkey.Valkey(unix_socket_path=str(shared_server)) as client, proxied(shared_server) as proxy:
        client.flushall()
        engines = [Engine(proxy.path, mode) for _ in range(2)]
        names: dict[int, list[tuple[Engine, int]]] = {flow: [] for flow in range(4)}
        for step, (harm, value) in enumerate(plan):
            do(proxy, harm, value)
            for number in range(8):
                engine, flow = engines[number % 2], number % 4
                if len(names[flow]) < 60:
                    names[flow].append((engine, engine.send(segment(flow, tally.COUNT, len(names[flow])))))
                    engine.send(segment(flow, tally.ASK, 63, step))
        proxy.heal()
        for engine in engines:
            engine.until(engine.pipe.idle)
            assert len(engine.ends) == engine.sent
        keys = {bytes(key) for key in client.scan_iter()}
        counted = [int.from_bytes(value[22:30], "little") for key in keys if (value := client.get(key))]
        twice = [int.from_bytes(value[30:38], "little") for key in keys if (value := client.get(key))]
        assert not any(twice), "a packet was counted twice"
        for sent in names.values():
            left = sum(1 << name for name, (engine, token) in enumerate(sent) if engine.ends[token] == "forward")
            assert left == 0 or any(left & seen == left for seen in counted), "an acknowledged commit was lost"
        for engine in engines:
            engine.recovered(segment(9, tally.COUNT, 1))
