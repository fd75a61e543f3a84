"""New flows stop before the store is full, existing ones go on, and all recovers: a pipe on a real server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import valkey
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from statelessnf import _engine
from statelessnf.admission import RESUME, STOP, Admission
from statelessnf.builder import build
from statelessnf.config import Deployment, parse
from statelessnf.errors import StoreRefused
from statelessnf.instance import Instance
from statelessnf.pipe_options import pipe_options
from statelessnf.publishing import Publications
from statelessnf.store_access import OpenStore, open_store

pytestmark = pytest.mark.beside

MEMORY_MB = 16
PIECE = 64 << 10  # bytes; large requests count as memory in use, too
PATIENCE = 60.0  # seconds; a busy machine


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    document = {
        "name": "small",
        "function": "firewall",
        "store": {"memory_mb": MEMORY_MB},
        "instance": {"run_directory": str(tmp_path / "run")},
        "firewall": {"rules": [{"action": "allow", "direction": "outbound"}]},
    }
    return parse(document, tmp_path / "small.toml")


@pytest.fixture
def store(deployment: Deployment) -> Iterator[OpenStore]:
    with open_store(deployment, deployment.run_directory) as opened:
        assert opened is not None
        yield opened


class Driven:
    """One pipe of an instance, stepped by the test."""

    def __init__(self, deployment: Deployment, store: OpenStore) -> None:
        options = pipe_options(deployment, build(deployment.function_class), store.access)
        self.pipe = _engine.Pipe(options | {"captured": 16})
        self.said: list[str] = []
        self.instance = Instance(deployment, self.pipe, self.said.append)  # type: ignore[arg-type]  # what it uses of it
        self.publications = Publications(store.url, deployment.name)
        self.step_until(self.pipe.available)

    def step_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.pipe.last_error()
            self.pipe.step()

    def send(self, port: int) -> str:
        """A packet of the flow of that port: "forwarded", or why it was dropped."""
        frame = bytes(Ether() / IP(src="10.0.0.1", dst="198.18.0.1") / UDP(sport=port, dport=53))
        assert self.pipe.inject(frame, 0, port)
        outcome: list[str] = []

        def came_out() -> bool:
            outcome.extend("forwarded" for _ in self.pipe.collect())
            outcome.extend(reason for _, reason, _, _ in self.pipe.dropped())
            return bool(outcome)

        self.step_until(came_out)
        assert len(outcome) == 1
        return outcome[0]


@pytest.fixture
def driven(deployment: Deployment, store: OpenStore) -> Iterator[Driven]:
    made = Driven(deployment, store)
    yield made
    made.publications.close()


def fill(store: OpenStore, share: float) -> None:
    """Other data in the store, so that `share` of its memory is in use."""
    with valkey.Valkey(unix_socket_path=store.url.path) as client:
        while client.info("memory")["used_memory"] < share * (MEMORY_MB << 20):
            client.rpush("filler", bytes(PIECE))
        while client.info("memory")["used_memory"] > share * (MEMORY_MB << 20):
            client.rpop("filler")


def test_new_flows_stop_before_the_store_is_full(driven: Driven, store: OpenStore) -> None:
    assert driven.send(1) == "forwarded"
    driven.instance.look(driven.publications)
    assert driven.send(2) == "forwarded"
    fill(store, STOP + 0.03)
    driven.instance.look(driven.publications)
    assert driven.send(3) == "store_full"
    assert [driven.send(1), driven.send(2)] == ["forwarded", "forwarded"]
    fill(store, RESUME + 0.02)  # between the two: nothing changes
    driven.instance.look(driven.publications)
    assert driven.send(3) == "store_full"
    fill(store, RESUME - 0.05)
    driven.instance.look(driven.publications)
    assert driven.send(3) == "forwarded"
    assert [text.partition(": ")[2] for text in driven.said] == [
        "new flows are dropped (store_full)",
        "new flows are taken again",
    ]


def test_a_store_that_filled_up_at_once_still_stops_new_flows(driven: Driven, store: OpenStore) -> None:
    """It refuses everything that the look at it would write; that must not come first."""
    assert driven.send(1) == "forwarded"
    fill(store, 0.5)
    with valkey.Valkey(unix_socket_path=store.url.path) as client:
        client.config_set("maxmemory", f"{MEMORY_MB // 4}mb")
    with pytest.raises(StoreRefused, match="memory is full"):
        driven.instance.look(driven.publications)
    assert driven.send(1) == "forwarded"
    assert driven.send(2) == "store_full"
    assert driven.pipe.stats()["commits"] == 1  # the store was not even asked


def test_admission_has_two_thresholds() -> None:
    admission = Admission()
    shares = [0.0, 0.849, 0.85, 0.849, 0.80, 0.799, 0.849, 0.9, 2.0, 0.0]
    assert [admission.look(share) for share in shares] == [
        True, True, False, False, False, True, True, False, False, True,
    ]  # fmt: skip
