"""What the orchestrator keeps in the store, and who may change it, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest
import valkey

from statelessnf.errors import NotLeader, StoreReplyError
from statelessnf.orchestrator.events import Events
from statelessnf.orchestrator.journal import Journal
from statelessnf.orchestrator.leader import MARGIN, Leadership
from statelessnf.orchestrator.state import LEASE_MS, Entry, Kept, State
from statelessnf.store.url import StoreUrl, unix_url

KEPT = Kept(revision=1, text="name = 'edge'", path="edge.toml", size=2)
ENTRY = Entry(name="edge-1", host="here", slot=0, revision=1, token="00" * 16)


@pytest.fixture
def url(services_server: Path) -> StoreUrl:
    with valkey.Valkey(unix_socket_path=str(services_server)) as client:
        client.flushall()
    return unix_url(str(services_server))


@pytest.fixture
def state(url: StoreUrl) -> Iterator[State]:
    with closing(State(url, "edge", "one")) as state:
        yield state


@pytest.fixture
def other(url: StoreUrl) -> Iterator[State]:
    with closing(State(url, "edge", "two")) as state:
        yield state


def test_only_one_leads(state: State, other: State) -> None:
    assert state.claim()
    assert not other.claim()
    assert state.claim()
    assert (state.leader(), other.leader()) == ("one", "one")
    state.resign()
    assert state.leader() == ""
    assert other.claim()


def test_deployments_have_leases_of_their_own(state: State, url: StoreUrl) -> None:
    assert state.claim()
    with closing(State(url, "core", "two")) as core:
        assert core.claim()


def test_what_was_kept_is_there_for_the_successor(state: State, other: State) -> None:
    state.claim()
    assert (state.deployment(), state.instances(), state.events()) == (None, [], [])
    state.keep(KEPT)
    state.put(ENTRY)
    state.put(ENTRY.model_copy(update={"name": "edge-0", "handle": "pid 7"}))
    state.remove("edge-1")
    events = Events()
    events.tell("start", "starting", "edge-0")
    state.append(events.after(0))
    state.resign()
    assert other.deployment() == KEPT
    assert [(entry.name, entry.handle) for entry in other.instances()] == [("edge-0", "pid 7")]
    assert [(event.number, event.kind, event.instance) for event in other.events()] == [(1, "start", "edge-0")]


def test_who_does_not_lead_changes_nothing(state: State, other: State) -> None:
    state.claim()
    state.keep(KEPT)
    with pytest.raises(NotLeader, match=r"another orchestrator leads \(one\)"):
        other.keep(KEPT.model_copy(update={"size": 9}))
    with pytest.raises(NotLeader):
        other.put(ENTRY)
    with pytest.raises(NotLeader):
        other.erase()
    assert state.deployment() == KEPT
    assert state.instances() == []


def test_erased_is_gone(state: State, other: State) -> None:
    state.claim()
    state.keep(KEPT)
    state.put(ENTRY)
    state.erase()
    assert other.claim()
    assert (other.deployment(), other.instances()) == (None, [])


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", b'{"revision": "x"}'])
def test_what_cannot_be_read_is_named(state: State, services_server: Path, value: bytes) -> None:
    with valkey.Valkey(unix_socket_path=str(services_server)) as client:
        client.set("statelessnf:{edge}:orchestrator:deployment", value)
    with pytest.raises(StoreReplyError, match="state in the store cannot be read"):
        state.deployment()


def test_leadership_ends_before_the_lease_does(state: State) -> None:
    now = [100.0]

    async def lead() -> None:
        with ThreadPoolExecutor(1) as store:
            leadership = Leadership(state, store, lambda: now[0])
            assert not leadership.leads
            assert await leadership.look()
            believed = []
            for seconds in (LEASE_MS / 1000 - MARGIN - 0.01, 0.02):
                now[0] += seconds
                believed.append(leadership.leads)
            assert believed == [True, False]

    asyncio.run(lead())


def test_leadership_is_lost_with_the_store(tmp_path: Path) -> None:
    async def lead() -> None:
        with ThreadPoolExecutor(1) as store, closing(State(unix_url(str(tmp_path / "s")), "edge", "one")) as state:
            leadership = Leadership(state, store)
            assert not await leadership.acquire(0.0)
            assert "cannot be reached" in leadership.problem

    asyncio.run(lead())


def test_the_journal_writes_the_latest_only(state: State) -> None:
    written = []

    async def write() -> None:
        with ThreadPoolExecutor(1) as store:
            events = Events()
            journal = Journal(state, store, events)
            for size in range(5):
                journal.keep(KEPT.model_copy(update={"size": size}))
            journal.put(ENTRY)
            journal.remove(ENTRY.name)
            await journal.written()
            written.append(state.deployment())

    state.claim()
    asyncio.run(write())
    assert written == [KEPT.model_copy(update={"size": 4})]
    assert state.instances() == []


def test_the_journal_goes_on_when_the_store_is_back(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statelessnf.orchestrator.journal.AGAIN", 0.01)
    refusals = [StoreReplyError("away")] * 3
    append = state.append

    def flaky(events: object) -> None:
        if refusals:
            raise refusals.pop()
        append(events)  # type: ignore[arg-type]  # handed on as it came

    async def write() -> None:
        with ThreadPoolExecutor(1) as store:
            events = Events()
            monkeypatch.setattr(state, "append", flaky)
            journal = Journal(state, store, events)
            running = asyncio.create_task(journal.run())
            for number in range(3):
                events.tell("note", f"event {number}")
            async with asyncio.timeout(60):
                while len(await asyncio.get_running_loop().run_in_executor(store, state.events)) < 3:
                    await asyncio.sleep(0)
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    state.claim()
    asyncio.run(write())
    assert [event.text for event in state.events()] == ["event 0", "event 1", "event 2"]


def test_events_are_followed() -> None:
    async def follow() -> list[int]:
        events = Events()
        events.tell("start", "one")
        seen = []

        async def watch() -> None:
            async for event in events.follow(0):
                seen.append(event.number)  # noqa: PERF401 - looked at while it grows

        watching = asyncio.create_task(watch())
        for number in range(2, 5):
            await asyncio.sleep(0)
            events.tell("note", str(number))
        async with asyncio.timeout(60):
            while len(seen) < 4:
                await asyncio.sleep(0)
        watching.cancel()
        return seen

    assert asyncio.run(follow()) == [1, 2, 3, 4]
