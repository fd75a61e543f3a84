"""The contract of steering (orchestrator/steering/steering.py), for nftables and for a real Open vSwitch alike."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from statelessnf.lab.open_vswitch import open_vswitch_is_there
from statelessnf.orchestrator.steering.steering import Member
from steering_bed import PLACES, Bed, Kind, Side, Steered, bed, refusal
from steering_frames import ICMP, MAC, SERVER_MAC, TCP, UDP, datagram, ends_of, neighbour_frame

pytestmark = pytest.mark.root

PORTS = range(40_000, 40_064)
CLIENTS = {4: "10.0.0.1", 6: "fd00::1"}
SERVERS = {4: "10.0.0.2", 6: "fd00::2"}


@pytest.fixture(scope="module", params=["nftables", "openflow"])
def switch(request: pytest.FixtureRequest) -> Iterator[Bed]:
    kind: Kind = request.param
    if kind == "openflow" and not open_vswitch_is_there():
        pytest.skip("Open vSwitch is not installed")
    with bed(kind) as switch:
        yield switch


def requests(protocol: int, version: int = 4) -> list[bytes]:
    return [datagram(protocol, (CLIENTS[version], port), (SERVERS[version], 80)) for port in PORTS]


def answers(protocol: int, version: int = 4) -> list[bytes]:
    return [datagram(protocol, (SERVERS[version], 80), (CLIENTS[version], port)) for port in PORTS]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_a_flow_has_one_member_in_both_directions_and_all_have_a_share(
    switch: Bed, protocol: int, version: int
) -> None:
    async def play() -> None:
        async with switch.steered(PLACES):
            out = await switch.send("inside", requests(protocol, version) * 2)
            back = await switch.send("outside", answers(protocol, version))
            flows = [{ends_of(frame) for frame in frames} for frames in out]
            assert [{(end, start) for start, end in map(ends_of, frames)} for frames in back] == flows
            assert sum(map(len, flows)) == len(PORTS)
            assert min(map(len, flows)) >= len(PORTS) // 8

    switch.run(play())


def test_weights_are_shares(switch: Bed) -> None:
    async def play() -> None:
        async with switch.steered([Member("in0", "out0", 3), Member("in1", "out1", 1)]):
            counts = await switch.counts("inside", requests(TCP))
            assert counts[2] == 0
            assert counts[0] > 1.5 * counts[1] > 0

    switch.run(play())


def test_packets_without_ports_reach_one_member(switch: Bed) -> None:
    async def play() -> None:
        async with switch.steered(PLACES):
            echo = datagram(ICMP, (CLIENTS[4], 1), (SERVERS[4], 1))
            assert sorted(await switch.counts("inside", [echo] * 5)) == [0, 0, 5]

    switch.run(play())


def test_spread_by_direction(switch: Bed) -> None:
    async def play() -> None:
        async with switch.steered(PLACES, "two"):
            assert await switch.becomes("inside", requests(TCP), [len(PORTS), 0, 0])
            assert await switch.becomes("outside", answers(UDP), [0, 0, len(PORTS)])

    switch.run(play())


def test_without_members_all_is_dropped(switch: Bed) -> None:
    async def play() -> None:
        async with switch.steered(PLACES) as it:
            await it.steering.steer([])
            for side in ("inside", "outside"):
                assert await switch.becomes(side, requests(TCP) + requests(UDP), [0, 0, 0])
            await it.steering.steer(PLACES[1:2])
            assert await switch.becomes("inside", requests(UDP), [0, len(PORTS), 0])

    switch.run(play())


def test_what_an_instance_sends_reaches_the_other_side_also_when_it_gets_nothing(switch: Bed) -> None:
    async def play() -> None:
        async with switch.steered(PLACES[:1]):
            frame = datagram(UDP, (CLIENTS[4], 7), (SERVERS[4], 7))
            assert switch.send_from(2, "outside", frame) == frame
            assert switch.send_from(2, "inside", frame) == frame

    switch.run(play())


@pytest.mark.parametrize("side", ["inside", "outside"])
def test_what_neighbours_tell_the_deployment_reaches_all_members(switch: Bed, side: Side) -> None:
    told = [neighbour_frame(MAC, kind) for kind in (0, 135, 136)]
    others = [neighbour_frame(MAC, 128), neighbour_frame(b"\xff" * 6, 0), neighbour_frame(SERVER_MAC, 136)]

    async def play() -> None:
        async with switch.steered(PLACES[:2]):
            first, second, third = await switch.send(side, told, copies=2)
            assert (first, second, third) == (told, told, [])
            first, second, third = await switch.send(side, others)
            assert (sorted(first + second), third) == (sorted(others), [])

    switch.run(play())


def test_a_planned_move_loses_no_packet(switch: Bed) -> None:
    frames = requests(UDP) + requests(TCP)

    async def play() -> None:
        async with switch.steered(PLACES[:2]) as it:
            await switch.send("inside", frames)  # the switch has seen them: what follows is about the change
            before = sum(await asyncio.to_thread(switch.received))
            flood = asyncio.create_task(asyncio.to_thread(switch.flood, frames, 10_000, 0.5))
            moves = 0
            while not flood.done():
                await it.steering.steer(PLACES[moves % 3 : moves % 3 + 1])
                await it.steering.steer(PLACES)
                moves += 1
                await asyncio.wait([flood], timeout=0.02)
            sent = await flood
            assert moves > 5
            assert await switch.settled(before + sent) == before + sent

    switch.run(play())


def test_traffic_is_counted_by_port(switch: Bed) -> None:
    async def counted(it: Steered, before: dict[str, int], number: int) -> dict[str, int]:
        async with asyncio.timeout(10):
            while True:
                now = await it.steering.traffic()
                given = {port: now[port] - before[port] for port in now}
                if given["in1"] >= number:
                    return given
                await asyncio.sleep(0.01)

    async def play() -> None:
        async with switch.steered(PLACES[1:2]) as it:
            before = await it.steering.traffic()
            assert set(before) == {"in0", "out0", "in1", "out1", "in2", "out2"}
            await switch.send("inside", requests(TCP))
            given = await counted(it, before, len(PORTS))
            assert (given["in1"], given["in0"]) == (len(PORTS), 0)

    switch.run(play())


def test_a_port_that_goes_down_is_lost_within_100_ms_and_gets_nothing_until_it_is_back(switch: Bed) -> None:
    async def play() -> None:
        async with switch.steered(PLACES[:2]) as it:
            assert it.steering.lost == frozenset()
            async with switch.unplugged(0):
                await it.until(lambda: it.steering.lost == {"in0"}, seconds=0.1)
                await it.until(lambda: it.steering.connected)
                assert await switch.becomes("inside", requests(TCP), [0, len(PORTS), 0])
            await it.until(lambda: not it.steering.lost)
            await it.until(lambda: it.steering.connected)
            assert min((await switch.counts("inside", requests(TCP)))[:2]) > 0

    switch.run(play())


def test_a_member_whose_port_is_not_there_is_lost_and_the_others_get_its_share(switch: Bed) -> None:
    gone = Member("nowhere0", "nowhere1")

    async def play() -> None:
        async with switch.steered([gone, PLACES[0]]) as it:
            assert it.steering.lost == {"nowhere0", "nowhere1"}
            assert await switch.becomes("inside", requests(UDP), [len(PORTS), 0, 0])
            await it.steering.steer([gone])
            assert await switch.becomes("inside", requests(UDP), [0, 0, 0])

    switch.run(play())


def test_without_the_port_of_the_clients_nothing_is_steered(switch: Bed) -> None:
    async def play() -> None:
        wrong = switch.deployments["wrong"].steering
        async with switch.steered(PLACES[:1]):
            assert "no port 'nobody'" in await refusal(wrong.steer(PLACES))
            assert await switch.becomes("inside", requests(UDP), [len(PORTS), 0, 0])

    switch.run(play())


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([Member("in0", "out0"), Member("in0", "out1")], "two members"),
        ([Member("in0", "in0")], "two members"),
        ([Member("in0", "out0", 0)], "weight"),
        ([Member("in0", "out0", 1000), Member("in1", "out1", 25)], "1024"),
    ],
)
def test_impossible_members_are_refused_and_those_before_stay(switch: Bed, members: list[Member], words: str) -> None:
    async def play() -> None:
        async with switch.steered(PLACES[:1]) as it:
            assert words in await refusal(it.steering.steer(members))
            assert await switch.becomes("inside", requests(TCP)[:8], [8, 0, 0])

    switch.run(play())


def test_closed_it_goes_on_and_opened_again_it_takes_over(switch: Bed) -> None:
    async def play() -> None:
        first = switch.deployments["three"]
        await first.until(lambda: first.steering.connected)
        await first.steering.steer(PLACES[:1])
        await first.steering.close()
        await first.steering.close()
        assert await switch.becomes("inside", requests(TCP)[:8], [8, 0, 0])
        switch.deployments["three"] = again = Steered(switch.steering("three"))
        await again.steering.open(again.changed)
        async with switch.steered(PLACES[1:2], "three"):
            assert await switch.becomes("inside", requests(TCP)[:8], [0, 8, 0])
        assert await switch.becomes("inside", requests(TCP)[:8], [0, 0, 0])

    switch.run(play())
