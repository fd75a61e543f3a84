"""The OpenFlow steering and switches that refuse, fall silent, or say what no switch says."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from openflow_stand_in import (
    ADDED,
    DELETED,
    FLOW_MOD,
    FLOWS,
    GROUP_MOD,
    GROUP_REFUSED,
    GROUPS,
    HELLO,
    MODIFIED,
    MULTIPART_REPLY,
    PACKET_IN,
    PORTS,
    StandIn,
    message,
    port,
    port_status,
    standing_in,
)
from statelessnf.errors import SteeringError
from statelessnf.orchestrator.section import SteeringSection
from statelessnf.orchestrator.steering import openflow_channel
from statelessnf.orchestrator.steering.kinds import steering_of
from statelessnf.orchestrator.steering.members import Places
from statelessnf.orchestrator.steering.nftables import NftablesSteering
from statelessnf.orchestrator.steering.openflow import OpenflowSteering
from statelessnf.orchestrator.steering.openflow_program import Identity, program
from statelessnf.orchestrator.steering.steering import Member, Ports
from steering_bed import Steered, refusal

pytestmark = pytest.mark.beside

PORT_NAMES = ["clients", "servers", "in0", "out0", "in1", "out1"]
PLACES = [Member("in0", "out0"), Member("in1", "out1")]


@asynccontextmanager
async def opened(datapath: int | None = None, owner: str = "") -> AsyncIterator[tuple[Steered, OpenflowSteering]]:
    steering = OpenflowSteering(
        Ports("clients", "servers"), "test", "127.0.0.1:0", datapath=datapath, places=PLACES[:1], owner=owner
    )
    steered = Steered(steering)
    await steering.open(steered.changed)
    try:
        yield steered, steering
    finally:
        await steering.close()


async def closed(steering: OpenflowSteering, reason: str) -> None:
    """Until a connection has been closed for that reason, which must be the first one."""
    async with asyncio.timeout(60):
        while not steering.closed:
            await asyncio.sleep(0)
    assert dict(steering.closed) == {reason: 1}


def test_what_the_switch_refuses_is_named_and_what_was_there_stays() -> None:
    async def play() -> None:
        switch = StandIn(PORT_NAMES)
        async with opened() as (steered, steering), standing_in(steering.address, switch):
            await steered.until(lambda: steering.connected)
            await steering.steer(PLACES[:1])
            switch.refusing = GROUP_REFUSED
            words = await refusal(steering.steer(PLACES))
            assert "OFPET_GROUP_MOD_FAILED(6), OFPGMFC_OUT_OF_GROUPS(3)" in words
            await steered.until(lambda: not steering.connected)
            switch.refusing = None
            await steered.until(lambda: steering.connected)
            await steering.steer(PLACES)

    asyncio.run(play())


def test_a_switch_that_does_not_answer_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openflow_channel, "ANSWER_SECONDS", 0.05)

    async def play() -> None:
        switch = StandIn(PORT_NAMES)
        async with opened() as (steered, steering), standing_in(steering.address, switch) as answering:
            await steered.until(lambda: steering.connected)
            switch.mute = True
            assert "not answered" in await refusal(steering.steer(PLACES))
            await steered.until(lambda: not steering.connected)
            await answering
            assert "no switch is connected" in await refusal(steering.steer(PLACES))
            assert "no switch is connected" in await refusal(steering.traffic())

    asyncio.run(play())


def test_a_cancelled_change_is_put_back() -> None:
    async def play() -> None:
        switch = StandIn(PORT_NAMES)
        async with opened() as (steered, steering), standing_in(steering.address, switch):
            await steered.until(lambda: steering.connected)
            await steering.steer(PLACES)
            switch.mute = True
            change = asyncio.create_task(steering.steer(PLACES[:1]))
            await asyncio.sleep(0)
            change.cancel()
            with pytest.raises(asyncio.CancelledError):
                await change
            switch.mute, switch.got = False, []
            await steering.steer(PLACES)  # goes behind what is put back
            await steered.until(lambda: steering.connected)

    asyncio.run(play())


def test_the_datapath_may_be_chosen_and_there_is_one_switch_at_a_time() -> None:
    async def play() -> None:
        async with opened(datapath=7) as (steered, steering):
            async with standing_in(steering.address, StandIn(PORT_NAMES, 8)) as answering:
                await answering
                assert (dict(steering.closed), steering.connected) == ({"another datapath": 1}, False)
            async with standing_in(steering.address, StandIn(PORT_NAMES, 7)):
                await steered.until(lambda: steering.connected)
        async with opened() as (steered, steering), standing_in(steering.address, StandIn(PORT_NAMES, 7)) as first:
            await steered.until(lambda: steering.connected)
            async with standing_in(steering.address, StandIn(PORT_NAMES, 8)) as answering:
                await answering
                assert steering.closed["a second switch"] == 1
            async with standing_in(steering.address, StandIn(PORT_NAMES, 7)):
                await first
                await steered.until(lambda: steering.connected)

    asyncio.run(play())


def test_ports_come_change_and_go() -> None:
    async def play() -> None:
        switch = StandIn(PORT_NAMES)
        async with opened() as (steered, steering), standing_in(steering.address, switch):
            await steered.until(lambda: steering.connected)
            for reason, about, lost in (
                (MODIFIED, port("in0", 3, up=False), {"in0"}),
                (DELETED, port("out0", 4), {"in0", "out0"}),
                (ADDED, port("in0", 9), {"out0"}),
                (ADDED, port("out0", 10), set()),
            ):
                switch.writer.write(port_status(DELETED, port("a stranger", 77)) + port_status(reason, about))
                await steered.until(lambda lost=lost: steering.lost == lost)  # type: ignore[misc]

    asyncio.run(play())


def reply(kind: int, body: bytes) -> Callable[[StandIn], Awaitable[None]]:
    async def misbehave(switch: StandIn) -> None:
        switch.lists[kind] = body

    return misbehave


def say(words: bytes) -> Callable[[StandIn], Awaitable[None]]:
    async def misbehave(switch: StandIn) -> None:
        switch.writer.write(words)

    return misbehave


@pytest.mark.parametrize(
    ("misbehave", "reason"),
    [
        (say(b"\x04\x03\x00\x07" + bytes(4)), "wrong length"),
        (say(b"\x01" + message(PACKET_IN)[1:]), "another version"),
        (say(message(PACKET_IN, bytes(60)) * 1100), "flood"),
        (say(message(2, b"?") * 1100), "flood"),
        (say(message(1, b"")), "message too short"),
        (say(message(12, bytes(9))), "message too short"),
        (say(message(MULTIPART_REPLY, bytes(3))), "message too short"),
        (reply(GROUPS, bytes(8)), "wrong length within a message"),
        (reply(GROUPS, b"\0\x10" + bytes(6)), "wrong length within a message"),
        (reply(GROUPS, b"\0"), "message too short"),
        (reply(FLOWS, bytes(56)), "wrong length within a message"),
    ],
)
def test_misbehaviour_ends_the_connection(misbehave: Callable[[StandIn], Awaitable[None]], reason: str) -> None:
    async def play() -> None:
        switch = StandIn(PORT_NAMES)
        async with opened() as (steered, steering), standing_in(steering.address, switch) as answering:
            await steered.until(lambda: steering.connected)
            await misbehave(switch)
            with suppress(SteeringError):  # it depends on which comes first
                await steering.steer(PLACES[:1])
            await answering
            await closed(steering, reason)

    asyncio.run(play())


@pytest.mark.parametrize("mark", ["", "unix:///run/one", "unix:///run/two"])
def test_entries_of_another_owner_are_left_alone(mark: str) -> None:
    """Nobody's entries, and its own, are taken over; those of another store's orchestrator are not even cleared."""

    async def play() -> list[int]:
        switch, there = StandIn(PORT_NAMES), Identity("test", mark)
        cookie = there.next_cookie({there.cookie | 0xFFFE})
        switch.lists[FLOWS] = struct.pack("!H22xQ24x", 56, cookie)
        async with opened(owner="unix:///run/one") as (steered, steering), standing_in(steering.address, switch):
            await steered.until(lambda: steering.connected)
            if mark == "unix:///run/two":
                for change in (steering.steer(PLACES[:1]), steering.clear()):
                    said = await refusal(change)
                    assert "a deployment of this name is steered here already" in said
                    assert f"cookie={cookie:#x}/0xffffffff00000000" in said
            else:
                await steering.steer(PLACES[:1])
        return switch.got

    got = asyncio.run(play())
    assert (FLOW_MOD in got, GROUP_MOD in got) == ((mark != "unix:///run/two"),) * 2


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openflow_channel, "MOST_BYTES", 200_000)

    async def play() -> None:
        switch = StandIn(PORT_NAMES)
        switch.lists[PORTS], switch.repeated = bytes(64_000), 4
        async with opened() as (_, steering), standing_in(steering.address, switch) as answering:
            await answering
            await closed(steering, "answer too long")

    asyncio.run(play())


def test_half_a_greeting_and_silence_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statelessnf.orchestrator.steering.openflow._GREETING_SECONDS", 0.05)
    monkeypatch.setattr(openflow_channel, "ECHO_SECONDS", 0.02)

    async def play() -> None:
        async with opened() as (_, steering):
            _, writer = await asyncio.open_connection(*steering.address)
            writer.write(message(HELLO)[:5])
            await closed(steering, "lost")
            writer.close()
        async with opened() as (steered, steering):
            switch = StandIn(PORT_NAMES)
            async with standing_in(steering.address, switch) as answering:
                await steered.until(lambda: steering.connected)
                answering.cancel()
                await closed(steering, "silent")
                assert not steering.connected

    asyncio.run(play())


def test_a_switch_of_openflow_1_0_is_told_so() -> None:
    async def play() -> None:
        async with opened() as (_, steering):
            reader, writer = await asyncio.open_connection(*steering.address)
            writer.write(message(HELLO, version=1))
            said = await reader.read()
            assert b"OpenFlow 1.3" in said
            await closed(steering, "no OpenFlow 1.3")
            writer.close()

    asyncio.run(play())


def test_there_are_no_more_connections_than_sixteen() -> None:
    async def play() -> None:
        async with opened() as (_, steering):
            ends = [await asyncio.open_connection(*steering.address) for _ in range(17)]
            await closed(steering, "too many connections")
            for _, writer in ends:
                writer.close()

    asyncio.run(play())


messages_of_sorts = st.builds(
    message, st.integers(0, 30), st.binary(max_size=160), st.integers(0, 12), st.sampled_from([4, 4, 4, 1, 255])
)


@settings(max_examples=40, deadline=None)
@given(greeted=st.booleans(), said=st.lists(messages_of_sorts | st.binary(max_size=200), max_size=12))
def test_whatever_is_said_nothing_escapes(greeted: bool, said: list[bytes]) -> None:
    escaped = []

    async def play() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: escaped.append(context))
        async with opened() as (steered, steering):
            switch = StandIn(PORT_NAMES)
            await switch.connect(steering.address)
            answering = asyncio.create_task(switch.answer())
            if greeted:
                await steered.until(lambda: steering.connected)
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            switch.writer.write(b"".join(said))
            switch.writer.write_eof()
            with suppress(ConnectionResetError):
                await switch.reader.read()
            switch.writer.close()
            await steered.until(lambda: not steering.connected)
            assert sum(steering.closed.values()) == 1
            async with standing_in(steering.address, StandIn(PORT_NAMES)):
                await steered.until(lambda: steering.connected)
                await steering.steer(PLACES)

    asyncio.run(play())
    assert escaped == []


def test_a_busy_address_is_refused() -> None:
    async def play() -> None:
        async with opened() as (_, steering):
            host, number = steering.address
            other = OpenflowSteering(Ports("clients", "servers"), "other", f"{host}:{number}")
            assert "cannot listen" in await refusal(other.open(lambda: None))
            await other.close()

    asyncio.run(play())


def test_the_section_names_the_kind() -> None:
    section: dict[str, Any] = {"clients": "a", "servers": "b"}
    linux = steering_of(SteeringSection(kind="nftables", spread="packet", **section), "test", None, PLACES, "")
    assert isinstance(linux, NftablesSteering)
    asyncio.run(linux.close())
    assert isinstance(steering_of(SteeringSection(kind="openflow", **section), "test", None, [], ""), OpenflowSteering)
    with pytest.raises(ValidationError, match="cannot spread packet by packet"):
        SteeringSection(kind="openflow", spread="packet", **section)


def test_spread_by_packet_is_refused() -> None:
    with pytest.raises(SteeringError, match="cannot spread packet by packet"):
        OpenflowSteering(Ports("clients", "servers", "packet"), "test")


@settings(max_examples=30)
@given(st.text(max_size=31), st.text(max_size=31))
def test_names_have_ranges_of_their_own(one: str, other: str) -> None:
    first, second = Identity(one), Identity(other)
    assert (one == other) == (first.groups == second.groups) == (first.cookie == second.cookie)
    assert 0 < first.groups.start < first.groups.stop <= 0xFFFFFF00


@given(st.integers(0, 900), st.sampled_from(["flow", "direction"]), st.booleans())
@settings(max_examples=10, deadline=None)
def test_a_program_points_to_groups_that_it_has(count: int, spread: str, mac: bool) -> None:
    members = [Member(f"in{number}", f"out{number}") for number in range(count)]
    names = ["clients", "servers", *(name for member in members for name in (member.inside, member.outside))]
    ports = Ports("clients", "servers", spread, bytes(6) if mac else None)  # type: ignore[arg-type]
    identity = Identity("test")
    made = program(identity, ports, 1000, {name: at for at, name in enumerate(names, 1)}, members, Places(members))
    targets = [flow.to for flow in made.flows] + [one for group in made.groups.values() for one in group.buckets]
    assert {bucket.group for bucket in targets if bucket.group} <= made.groups.keys() <= set(identity.groups)
    assert len({(flow.priority, flow.match) for flow in made.flows}) == len(made.flows)
    assert all(len(set(group.buckets)) == len(group.buckets) for group in made.groups.values())
