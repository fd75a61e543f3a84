"""The controller over a fake driver, a fake switch and a real store: what follows from what, and what survives it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
import valkey

from fake_orchestra import Play, kinds, playing, section, until
from statelessnf.bench.simulated.world import SimulatedDriver
from statelessnf.errors import Refused
from statelessnf.orchestrator.drivers.driver import Launch
from statelessnf.orchestrator.model import Health
from statelessnf.orchestrator.state import Entry, Kept, State
from statelessnf.orchestrator.wishes import Wishes
from statelessnf.store.url import unix_url

pytestmark = pytest.mark.beside

KEPT = Kept(revision=1, text="", path="edge.toml", size=2)
PIPES = {"most_pipes": 2, "capacity": 1000, "up_s": 0, "cool_down_s": 0}
FULL = 5  # packets a beat, one in 5 ms, that make a pipe of PIPES fully utilised
Acts = Callable[[Play], Awaitable[None]]


@pytest.fixture
def state(services_server: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    monkeypatch.setattr("statelessnf.orchestrator.state.LEASE_MS", 600_000)  # nobody renews it here
    path = str(services_server)
    with valkey.Valkey(unix_socket_path=path) as client, closing(State(unix_url(path), "edge", "one")) as state:
        client.flushall()
        state.claim()
        yield state


def played(
    state: State,
    acts: Acts,
    kept: Kept = KEPT,
    driver: SimulatedDriver | None = None,
    scaling: Mapping[str, float] | None = None,
) -> Play:
    """After `acts`."""

    async def play() -> Play:
        async with playing(state, kept, driver or SimulatedDriver(), scaling) as play:
            await acts(play)
            return play

    return asyncio.run(play())


async def settled(play: Play) -> asyncio.Task[None]:
    """Until all instances live and carry; they go on beating."""
    task = asyncio.create_task(play.beating())
    await until(lambda: play.controller.settled and len(play.controller.steersman.steered or ()) == 2)
    return task


def test_instances_are_started_and_steered_to_once_they_beat(state: State) -> None:
    async def acts(play: Play) -> None:
        await until(lambda: len(play.driver.running) == 2)
        for _ in range(50):
            await asyncio.sleep(0)
        assert not any(play.switch.told)  # nobody has been heard
        beating = await settled(play)
        beating.cancel()

    play = played(state, acts)
    assert sorted(play.switch.told[-1]) == ["in0", "in1"]
    assert [entry.handle for entry in state.instances()] == [f"handle of {entry.name}" for entry in state.instances()]


def test_who_loses_a_pipe_loses_its_traffic_whatever_beats_still_come(state: State) -> None:
    async def acts(play: Play) -> None:
        beating = await settled(play)
        victim = sorted(play.driver.running)[0]
        assert set(play.driver.watched) == set(play.driver.running)
        play.driver.watched[victim](victim)
        await until(lambda: victim not in (play.controller.steersman.steered or (victim,)), 0.05)
        play.beat(victim)
        assert play.controller.sightings.suspicion.health(victim)[0] is Health.suspected
        assert victim in play.driver.running  # its place is not free as long as it has not ended
        play.driver.end(victim, "signal 9")
        await until(lambda: len(play.driver.running) == 2 and play.controller.settled)
        beating.cancel()

    events = played(state, acts).events.after(0)
    assert [event.text for event in events if event.kind == "suspect"] == ["a pipe of it has ended"]


def test_the_collector_leaves_alone_what_stays_as_long_as_somebody_is_watched(state: State) -> None:
    async def acts(play: Play) -> None:
        (await settled(play)).cancel()
        assert gc.get_freeze_count() > 10_000

    played(state, acts)
    assert gc.get_freeze_count() == 0


def test_an_end_is_steered_away_from_at_once(state: State) -> None:
    async def acts(play: Play) -> None:
        beating = await settled(play)
        victim = sorted(play.driver.running)[0]
        before = play.controller.steersman.steered
        play.driver.end(victim, "signal 9")
        await until(lambda: play.controller.steersman.steered != before, 0.05)
        assert victim not in (play.controller.steersman.steered or ())
        await until(lambda: len(play.driver.running) == 2 and play.controller.settled)
        assert len(play.controller.steersman.steered or ()) == 2
        beating.cancel()

    assert "end" in kinds(played(state, acts))


def test_silence_is_steered_away_from_and_a_beat_brings_it_back(state: State) -> None:
    async def acts(play: Play) -> None:
        beating = await settled(play)
        silent = sorted(play.driver.running)[0]
        beating.cancel()
        beating = asyncio.create_task(play.beating(silent))
        await until(lambda: silent not in (play.controller.steersman.steered or ()), 0.5)
        beating.cancel()
        beating = asyncio.create_task(play.beating())
        await until(lambda: silent in (play.controller.steersman.steered or ()), 0.5)
        assert silent in play.driver.running
        beating.cancel()

    play = played(state, acts)
    assert [kind for kind in kinds(play) if kind in ("suspect", "end", "kill")] == ["suspect"]


class SlowDriver(SimulatedDriver):
    """Starts take until `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def start(self, launch: Launch) -> str:
        await self.go.wait()
        return await super().start(launch)


def test_what_is_not_wanted_any_more_while_it_starts_is_stopped_once_it_is_there(state: State) -> None:
    driver = SlowDriver()

    async def acts(play: Play) -> None:
        driver.go.set()
        beating = await settled(play)
        driver.go.clear()
        Wishes(play.controller).resize(3)
        Wishes(play.controller).resize(2)
        driver.go.set()
        await until(lambda: play.controller.settled)
        assert len(driver.running) == 2
        beating.cancel()

    assert "stop" in kinds(played(state, acts, driver=driver))


def test_what_becomes_of_the_switch_is_told_once_each_time(state: State) -> None:
    async def acts(play: Play) -> None:
        beating = await settled(play)
        switch = play.switch
        for switch.connected, switch.restored in ((True, 0), (True, 1), (False, 1), (False, 1), (True, 2), (True, 2)):
            switch.changed()
        beating.cancel()

    told = [kind for kind in kinds(played(state, acts)) if kind.startswith("switch")]
    assert told == ["switch", "switch", "switch-away", "switch"]


def test_a_port_that_is_down_is_steered_away_from(state: State) -> None:
    async def acts(play: Play) -> None:
        beating = await settled(play)
        play.switch.lost = frozenset({"in0"})
        play.switch.changed()
        await until(lambda: play.switch.told[-1] == ["in1"], 0.2)
        play.switch.lost = frozenset()
        play.switch.changed()
        await until(lambda: sorted(play.switch.told[-1]) == ["in0", "in1"], 0.2)
        beating.cancel()

    played(state, acts)


def test_a_switch_that_refuses_is_told_again(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statelessnf.orchestrator.steersman.AGAIN", 0.01)

    async def acts(play: Play) -> None:
        play.switch.refuse = "table full"
        beating = asyncio.create_task(play.beating())
        await until(lambda: play.controller.steersman.problem == "table full")
        assert not play.controller.settled
        play.switch.refuse = ""
        await until(lambda: play.controller.settled)
        assert play.controller.steersman.problem == ""
        beating.cancel()

    played(state, acts)


def test_a_successor_adopts_and_disturbs_nothing(state: State) -> None:
    """One of the two has ended meanwhile; the other one's traffic is not touched."""

    async def acts(play: Play) -> None:
        beating = await settled(play)
        await play.journal.written()
        beating.cancel()

    first = played(state, acts)
    kept = state.deployment()
    assert kept is not None
    assert set(kept.members) == set(first.driver.running)
    lost, stays = kept.members

    async def successor(play: Play) -> None:
        beating = await settled(play)
        beating.cancel()

    again = played(state, successor, kept, driver=SimulatedDriver({stays: first.driver.running[stays]}))
    assert all("in0" in told or "in1" in told for told in again.switch.told)
    assert stays in again.driver.running
    assert again.driver.asked == []
    assert [event.instance for event in again.events.after(0) if event.kind == "adopt"] == [stays]
    assert [event.instance for event in again.events.after(0) if event.kind == "end"] == [lost]


def numbers(play: Play) -> list[int]:
    """Of pipes, as the drivers were told."""
    return [launch.order.pipes for launch in play.driver.running.values() if launch]


def test_pipes_follow_the_load_until_the_operator_sets_the_size(state: State) -> None:
    async def acts(play: Play) -> None:
        beating = await settled(play)
        least, play.packets = 2, FULL
        async with asyncio.timeout(60):
            while not (play.controller.settled and numbers(play) == [2, 2]):
                least = min(least, len(play.switch.told[-1]))
                await asyncio.sleep(0)
        assert least == 2
        Wishes(play.controller).resize(3)
        play.packets = 3 * FULL
        await until(lambda: play.controller.settled and numbers(play) == [2, 2, 2])
        await play.journal.written()
        beating.cancel()

    play = played(state, acts, scaling=PIPES)
    assert [entry.pipes for entry in state.instances()] == [2, 2, 2]
    said = [event.text.partition(":")[0] for event in play.events.after(0) if event.kind == "scale"]
    assert said == ["from 2 x 1 pipes to 2 x 2 pipes", "the operator wants 3"]


def test_a_successor_keeps_the_number_of_pipes_and_a_new_file_may_take_it_back(state: State) -> None:
    async def acts(play: Play) -> None:
        beating = await settled(play)
        play.packets = FULL
        await until(lambda: play.controller.settled and numbers(play) == [2, 2])
        await play.journal.written()
        beating.cancel()

    first = played(state, acts, scaling=PIPES)
    kept = state.deployment()
    assert kept is not None

    async def successor(play: Play) -> None:
        beating = await settled(play)
        assert play.driver.asked == []
        assert set(play.driver.running) == set(first.driver.running)
        Wishes(play.controller).redeploy(section(), "fewer", 1, replace=False)
        await until(lambda: play.controller.settled and numbers(play) == [1, 1])
        await play.journal.written()
        beating.cancel()

    played(state, successor, kept, SimulatedDriver(first.driver.running), PIPES)
    after = state.deployment()
    assert after is not None
    assert (kept.pipes, after.pipes) == (2, 1)


def test_what_was_started_by_a_release_without_pipes_is_adopted_and_left_alone(state: State) -> None:
    entry = {"name": "edge-1", "host": "here", "slot": 0, "revision": 1, "token": "00" * 16}
    entries = [entry, entry | {"name": "edge-2", "slot": 1, "token": "11" * 16}]
    for one in entries:
        state.put(Entry.model_validate(one | {"handle": f"handle of {one['name']}"}))

    async def acts(play: Play) -> None:
        beating = await settled(play)
        assert play.driver.asked == []
        beating.cancel()

    play = played(state, acts, driver=SimulatedDriver({"edge-1": None, "edge-2": None}))
    assert [known.entry.pipes for known in play.controller.sightings.known] == [1, 1]
    assert "start" not in kinds(play)


def test_a_start_that_fails_is_tried_again(state: State) -> None:
    async def acts(play: Play) -> None:
        play.driver.refuse = "no memory"
        await until(lambda: kinds(play).count("start-failed") == 2)
        assert list(play.controller.sightings.known) == []
        assert play.host.problem == "no memory"
        play.driver.refuse = ""
        beating = await settled(play)
        assert play.host.problem == ""
        beating.cancel()

    played(state, acts)


def test_who_is_not_heard_after_its_start_gives_the_next_one_more_time(state: State) -> None:
    async def acts(play: Play) -> None:
        play.controller._start_patience.seconds = 0.1
        await until(lambda: "not been heard; the next one is given 0.2 s" in play.host.trouble)
        (await settled(play)).cancel()
        assert (play.host.trouble, play.controller.desired().start_seconds) == ("", 10)

    played(state, acts)


def test_no_traffic_for_a_drained_instance(state: State) -> None:
    async def acts(play: Play) -> None:
        beating = await settled(play)
        name = sorted(play.driver.running)[0]
        Wishes(play.controller).drain(name, True)
        await until(lambda: name not in (play.controller.steersman.steered or ()), 1)
        assert name in play.driver.running
        beating.cancel()

    played(state, acts)


def test_the_operator_scales(state: State) -> None:
    async def acts(play: Play) -> None:
        beating = await settled(play)
        wishes = Wishes(play.controller)
        wishes.resize(3)
        await until(lambda: len(play.switch.told[-1]) == 3)
        wishes.resize(2)
        await until(lambda: play.controller.settled and len(play.driver.running) == 2)
        assert play.driver.asked[-1][0] == "stop"
        for size in (1, 5):
            with pytest.raises(Refused, match="not between minimum"):
                wishes.resize(size)
        beating.cancel()

    played(state, acts)


def test_a_revision_replaces_one_by_one(state: State) -> None:
    async def acts(play: Play) -> None:
        beating = await settled(play)
        old = set(play.driver.running)
        Wishes(play.controller).redeploy(play.controller.section, "new", 1, replace=True)
        least = 2
        while not (play.controller.settled and not old & set(play.driver.running)):
            least = min(least, len(play.switch.told[-1]))
            await asyncio.sleep(0)
        assert least == 2
        assert {launch.order.revision for launch in play.driver.running.values() if launch} == {2}
        beating.cancel()

    played(state, acts)


def test_down_leaves_nothing(state: State) -> None:
    async def acts(play: Play) -> None:
        beating = await settled(play)
        await Wishes(play.controller).down()
        assert (play.driver.running, play.switch.told[-1], play.switch.cleared) == ({}, [], True)
        beating.cancel()

    played(state, acts)


def test_who_does_not_lead_any_more_does_nothing(state: State) -> None:
    """It may have slept for longer than its lease, and wake up to an instance that has ended."""

    async def acts(play: Play) -> None:
        beating = await settled(play)
        before = len(play.switch.told)
        play.leads = False
        Wishes(play.controller).resize(3)
        play.driver.end(sorted(play.driver.running)[0], "signal 9")
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert (len(play.switch.told), len(play.driver.running)) == (before, 1)
        beating.cancel()

    played(state, acts)
