"""Who may steer: of two orchestrators with different stores the second one is refused, and so is nobody."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from statelessnf.errors import Refused, SteeringError
from statelessnf.lab.open_vswitch import BRIDGE
from statelessnf.orchestrator.steering.interfaces import Interfaces
from statelessnf.orchestrator.steering.nftables import NftablesSteering
from statelessnf.orchestrator.steering.openflow_program import Identity
from statelessnf.orchestrator.steering.steering import Ports
from steering_bed import PLACES, Bed, Steered, bed, refusal
from steering_frames import TCP, datagram

pytestmark = pytest.mark.root

FRAMES = [datagram(TCP, ("10.0.0.1", port), ("10.0.0.2", 80)) for port in range(40_000, 40_016)]


@asynccontextmanager
async def opened(*some: Steered) -> AsyncIterator[None]:
    for one in some:
        await one.steering.open(one.changed)
    try:
        yield
    finally:
        for one in some:
            await one.steering.close()


def test_a_table_has_one_owner_as_long_as_that_lives(tmp_path: Path) -> None:
    ports, stranger = Ports("clients", "server"), "valkey://192.0.2.1:6379/3"
    embedded = f"unix://{tmp_path}/a b"

    def steering(owner: str) -> Steered:
        return Steered(NftablesSteering(ports, "owned", it.switch.name, PLACES, owner))

    async def play() -> None:
        first, again, other, late = map(steering, (embedded, embedded, stranger, stranger))
        async with opened(first, again):
            with socket.socket(socket.AF_UNIX) as store:
                store.bind(f"{tmp_path}/a b")
                store.listen()
                await first.steering.steer(PLACES[:1])
                await again.steering.steer(PLACES[:1])
                with pytest.raises(Refused, match=f"is steered here already.*unix://{tmp_path}/a%20b"):
                    await other.steering.open(other.changed)
                await other.steering.close()
            async with opened(late):  # nobody answers at the store of the first one any more
                await late.steering.steer(PLACES[1:2])
                await first.until(lambda: not first.steering.connected)
                for refused in (first.steering.steer(PLACES[:1]), first.steering.clear()):
                    with pytest.raises(SteeringError, match=r"192\.0\.2\.1:6379/3"):
                        await refused
                assert await it.becomes("inside", FRAMES, [0, len(FRAMES), 0])
                await late.steering.clear()
            await first.steering.steer(PLACES[:1])
            await first.steering.clear()

    with bed("nftables") as it:
        it.run(play())


def test_who_has_no_permission_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    async def play() -> None:
        steering = NftablesSteering(Ports("a", "b"), "test")
        with pytest.raises(Refused, match=r"this user may not steer.*Operation not permitted; run it as root"):
            await steering.open(lambda: None)
        await steering.close()

    monkeypatch.setattr(Interfaces, "__init__", forbidden)
    asyncio.run(play())


def test_another_owner_s_entries_are_in_the_way_until_they_are_removed_as_is_said() -> None:
    owner = Identity("three", "unix:///run/another")
    theirs = f"cookie={owner.next_cookie(()):#x},table=0,priority=9,in_port=99,actions=drop"

    async def play(it: Bed) -> None:
        ovs = it.open_vswitch
        assert ovs is not None
        steered = it.deployments["three"]
        await steered.until(lambda: steered.steering.connected)
        ovs.openflow("add-flow", BRIDGE, theirs)
        said = await refusal(steered.steering.steer(PLACES))
        assert "in_port=99" in ovs.openflow("dump-flows", BRIDGE)
        ovs.openflow("del-flows", BRIDGE, said.rpartition("BRIDGE ")[2])
        async with it.steered(PLACES, "three"):
            assert "in_port=99" not in ovs.openflow("dump-flows", BRIDGE)

    with bed("openflow") as it:
        it.run(play(it))
