"""What no caller of the store services may ask, what is empty, and what keeps apart; on both back ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from service_worlds import DEPLOYMENT, SPAN, World, flow, key, timer, valkey_world
from statelessnf.store.client import StoreClient
from statelessnf.store.service_requests import (
    Ending,
    Move,
    NewFlow,
    PairChange,
    Timer,
)
from statelessnf.store.url import unix_url
from statelessnf.store.valkey_services import ValkeyServices

pytestmark = pytest.mark.beside

A = b"\x00\r\n tok1"
LEASE = SPAN // 2
PAIR = (key(7), key(8, 7))


def test_empty_requests(world: World) -> None:
    services = world.services
    assert (services.arm([]), services.move([]), services.end([])) == ([], [], [])
    assert (services.create([]), services.expire([]), services.change_pairs([]), services.read([])) == ([], [], [], [])
    services.hasten([])
    assert services.counts() == {}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Timer(b"{0}x", 1, A),
        lambda: Timer(b"", 1, A),
        lambda: Timer(key(1), -1, A),
        lambda: Timer(key(1), (1 << 53) + 1, A),
        lambda: Timer(key(1), 1, b"short"),
        lambda: Move(A, Timer(key(1), 1, A)),
        lambda: Move(b"", Timer(key(1), 1, A)),
        lambda: NewFlow((), b"\x01" + bytes(16), 1, A),
        lambda: NewFlow((key(1), key(1)), b"\x01" + bytes(16), 1, A),
        lambda: NewFlow((key(1), key(2)), b"\x01" + bytes(16), 1, A),
        lambda: NewFlow((key(1),), b"\x01" + bytes(15), 1, A),
        lambda: NewFlow((key(1),), b"\x02" + bytes(16), 1, A),
        lambda: NewFlow((key(1),), b"\x01" + bytes(8) + (2).to_bytes(8, "little"), 1, A),
        lambda: NewFlow((key(1),), b"\x01" + bytes(16), 0, A),
        lambda: NewFlow((key(1),), b"\x01" + bytes(8) + b"\xff" * 8, 1 << 53, A),
        lambda: NewFlow((key(1),), b"\x01" + bytes(16), 1, A, bytes(256)),
        lambda: Ending((key(1),), b"x", None),
        lambda: PairChange(PAIR, b"", b"\x01" + bytes(16), 1),
        lambda: PairChange(PAIR[:1], b"x", b"\x01" + bytes(16), 1),  # type: ignore[arg-type]  # the wrong type is the test
        lambda: PairChange(PAIR, b"x", b"", 1),
    ],
)
def test_impossible_requests(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match=r"."):
        wrong()


@pytest.mark.parametrize(("limit", "lease"), [(0, 1), (-1, 1), (1, 0), (100_001, 1), (1, 1 << 54)])
def test_impossible_claims(world: World, limit: int, lease: int) -> None:
    with pytest.raises(ValueError, match="from"):
        world.services.claim(limit, lease)


def test_deployments_and_names_keep_apart(services_server: Path) -> None:
    with valkey_world(services_server) as world, StoreClient(unix_url(str(services_server))) as client:
        now = world.now()
        world.services.create([flow(world, PAIR, 1, now - 1, A, b"load")])
        world.services.arm([timer(world, 1, now - 1, A)])
        for deployment, name in ((DEPLOYMENT + 1, b"test\r\n"), (DEPLOYMENT, b"other")):
            other = ValkeyServices(client, deployment, name)
            assert other.claim(10, LEASE) == []
            assert other.counts() == {}
        assert len(world.services.claim(10, LEASE)) == 2
        with pytest.raises(ValueError, match="name"):
            ValkeyServices(client, DEPLOYMENT, b"")
