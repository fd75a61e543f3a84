"""Listening to heartbeats, with the kernel's help and without: what is told, when, and what has no effect."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from math import inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statelessnf.errors import OrchestratorError
from statelessnf.orchestrator import beat_listener
from statelessnf.orchestrator.beat_listener import BeatListener
from statelessnf.orchestrator.beats import Beat, encode

ONE, OTHER, STRANGER = (bytes([number]) * 16 for number in (1, 2, 3))
PATIENCE = 60.0  # seconds; a busy machine


def beat(token: bytes = ONE, sequence: int = 1, pipe: int = 0, flags: int = 3) -> Beat:
    return Beat(flags, pipe, 2, token, sequence, *range(11))


class Scene:
    """A listener, what it told, and a sender."""

    def __init__(self, helped: bool) -> None:
        self.told: list[tuple[Beat, float]] = []
        self.known = {ONE, OTHER}
        self.listener = BeatListener(self.heard, self.known.__contains__, helped=helped)
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def heard(self, token: bytes, found: Beat, now: float) -> None:
        assert token == found.token
        self.told.append((found, now))

    def send(self, *beats: Beat | bytes) -> None:
        for each in beats:
            self.sender.send(each if isinstance(each, bytes) else encode(each))

    async def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)

    async def drained(self, at_least: float) -> tuple[Beat, float]:
        """What is told last, when something is that was heard after that time."""

        def told() -> bool:
            self.listener.drain()
            return self.told[-1][1] >= at_least

        await self.until(told)
        return self.told[-1]


@asynccontextmanager
async def scene(helped: bool) -> AsyncIterator[Scene]:
    made = Scene(helped)
    with made.sender, made.listener.on("127.0.0.1:0") as address:
        if helped and not made.listener.helped:
            pytest.skip("the kernel lets us load no BPF program here")
        host, _, port = address.rpartition(":")
        made.sender.connect((host, int(port)))
        yield made


def played(play: Callable[[Scene], Awaitable[None]], helped: bool) -> None:
    async def run() -> None:
        async with scene(helped) as made:
            await play(made)

    asyncio.run(run())


both = pytest.mark.parametrize("helped", [True, False])


@both
def test_news_are_told_as_they_come(helped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe's first beat, and one with other flags; of the others `drain` tells the newest, and its time."""
    monkeypatch.setattr(beat_listener, "SILENCE", 2.0)  # s: no beat of this test is news for its time

    async def play(scene: Scene) -> None:
        began = time.monotonic()
        scene.send(beat())
        await scene.until(lambda: len(scene.told) == 1)
        scene.send(beat(pipe=1))
        await scene.until(lambda: len(scene.told) == 2)
        told, sent = len(scene.told), time.monotonic()
        scene.send(*(beat(sequence=number) for number in range(2, 53)), beat(pipe=1, sequence=2, flags=7))
        await scene.until(lambda: len(scene.told) > told)
        assert [(each.flags, each.pipe) for each, _ in scene.told[told:]] == [(7, 1)]
        last, heard = await scene.drained(sent)
        assert (last.token, last.pipe) in {(ONE, 0), (ONE, 1)}
        assert began < scene.told[0][1] <= sent <= heard <= time.monotonic()
        scene.listener.drain()
        assert {(each.pipe, each.sequence) for each, at in scene.told if at >= sent} == {(0, 52), (1, 2)}
        told = len(scene.told)
        scene.listener.drain()
        assert len(scene.told) == told
        assert not scene.listener.refused

    played(play, helped)


@both
def test_a_beat_after_a_silence_is_news(helped: bool) -> None:
    async def play(scene: Scene) -> None:
        for number in range(1, 8):
            scene.send(beat(sequence=number))
            await scene.until(lambda number=number: len(scene.told) == number)  # type: ignore[misc]  # bound at once
            await asyncio.sleep(1.5 * beat_listener.SILENCE)  # the silence
        assert len(scene.told) == 7

    played(play, helped)


def counting(token: bytes, pipe: int, flags: int, sequence: int) -> Beat:
    """Each of its counts says which beat it is of."""
    return Beat(flags, pipe, 2, token, sequence, *(1000 * sequence + place for place in range(11)))


Sent = list[tuple[bytes, int, int, int]]  # token, pipe, flags, sequence
SENT = st.lists(
    st.tuples(st.sampled_from([ONE, OTHER]), st.integers(0, 1), st.sampled_from([2, 3, 3, 3, 7]), st.integers(1, 30)),
    max_size=60,
)


@both
def test_drain_tells_the_newest_of_each_pipe(helped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats in any order, with any flags, read at any time: what is told last is the newest, whole, and no older one
    is ever told after it."""
    monkeypatch.setattr(beat_listener, "SILENCE", 2.0)

    async def play(parts: list[Sent]) -> None:
        async with scene(helped) as made:
            newest: dict[tuple[bytes, int], Beat] = {}
            for part in parts:
                began = time.monotonic()
                for token, pipe, flags, sequence in part:
                    sent = counting(token, pipe, flags, sequence)
                    made.send(sent)
                    before = newest.get((token, pipe))
                    if before is None or sequence > before.sequence:
                        newest[token, pipe] = sent
                made.listener.drain()
                told = {(each.token, each.pipe): each for each, _ in made.told}
                assert {key: each[4:] for key, each in told.items()} == {key: each[4:] for key, each in newest.items()}
                fresh = {(token, pipe) for token, pipe, _, sequence in part if sequence == newest[token, pipe].sequence}
                late = {(each.token, each.pipe) for each, at in made.told if began <= at <= time.monotonic()}
                assert fresh <= late
            order: dict[tuple[bytes, int], list[int]] = {}
            for each, _ in made.told:
                order.setdefault((each.token, each.pipe), []).append(each.sequence)
            assert all(numbers == sorted(numbers) for numbers in order.values())

    @settings(max_examples=40)
    @given(st.lists(SENT, min_size=1, max_size=4))
    def any_order(parts: list[Sent]) -> None:
        asyncio.run(play(parts))

    any_order()


@both
def test_most_beats_cost_nothing(helped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A steady pipe is told of by `drain` alone, and where the kernel helps its beats are never read."""
    monkeypatch.setattr(beat_listener, "SILENCE", 2.0)

    async def play(scene: Scene) -> None:
        scene.send(beat())
        await scene.until(lambda: len(scene.told) == 1)
        with monkeypatch.context() as patched:
            if helped:
                patched.setattr(beat_listener, "decode", lambda _: pytest.fail("a beat that says nothing new was read"))
            for number in range(2, 300):
                scene.send(beat(sequence=number))
                await asyncio.sleep(0.0005)  # the sender's pace
            assert len(scene.told) == 1
            scene.listener.drain()
        assert [each.sequence for each, _ in scene.told] == [1, 299]

    played(play, helped)


@both
def test_the_oldest_of_those_expected_and_news_of_others(helped: bool) -> None:
    async def play(scene: Scene) -> None:
        listener = scene.listener
        scene.send(beat(), beat(pipe=1), beat(OTHER))
        await scene.until(lambda: len(scene.told) == 3)
        assert not listener.expect({ONE: 2, OTHER: 2})
        assert listener.expect({ONE: 2})
        first = min(at for found, at in scene.told if found.token == ONE)
        listener.drain()
        assert listener.oldest() == pytest.approx(first, abs=0.001)
        before = time.monotonic()
        scene.send(beat(sequence=2))
        assert (listener.oldest() or 0.0) < before  # the other pipe has not beaten
        scene.send(beat(pipe=1, sequence=2))
        assert (listener.oldest() or 0.0) >= before
        scene.send(beat(OTHER, sequence=2))
        assert listener.oldest() is None or scene.told[-1][0].token == OTHER  # it was news, or it is to be drained
        listener.drain()
        assert listener.oldest() is not None
        scene.send(beat(OTHER, pipe=1), beat(OTHER, pipe=1, sequence=2))  # a pipe that nobody knew
        listener.drain()
        scene.send(beat(OTHER, pipe=1, sequence=3))
        told = len(scene.told)
        assert listener.oldest() is None or len(scene.told) > told
        assert listener.expect({})
        listener.drain()
        assert listener.oldest() == inf

    played(play, helped)


CROWD = [bytes([100 + number]) * 16 for number in range(beat_listener.GUARDED)]


def guarded(play: Callable[[Scene], Awaitable[None]]) -> None:
    """Enough instances of one pipe, which have all been heard once."""

    async def begin(scene: Scene) -> None:
        scene.known.update(CROWD)
        scene.send(*(beat(token) for token in CROWD))
        await scene.until(lambda: len(scene.told) == len(CROWD))
        assert scene.listener.expect(dict.fromkeys(CROWD, 1))
        await play(scene)

    played(begin, True)


@pytest.mark.parametrize("silent", [0, 5, len(CROWD) - 1])
def test_others_beats_tell_of_a_silent_one(silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever it is, and not before its limit is over."""
    monkeypatch.setattr(beat_listener, "SILENCE", 2.0)
    limit = 0.1  # s

    async def play(scene: Scene) -> None:
        others, began = [token for token in CROWD if token != CROWD[silent]], time.monotonic()
        scene.send(*(beat(token, 2) for token in CROWD))
        assert scene.listener.guard(limit)
        told, numbers = len(scene.told), count(3)

        def found() -> bool:
            number = next(numbers)
            scene.send(*(beat(token, number) for token in others))
            return len(scene.told) > told

        await scene.until(found)
        assert time.monotonic() - began >= limit
        assert scene.told[-1][0].token in others

    guarded(play)


def test_while_all_are_heard_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat_listener, "SILENCE", 2.0)

    async def play(scene: Scene) -> None:
        assert scene.listener.guard(30.0)
        told = len(scene.told)
        for number in range(2, 40):
            scene.send(*(beat(token, number) for token in CROWD))
            await asyncio.sleep(0.001)  # the senders' pace
        assert len(scene.told) == told

    guarded(play)


def test_nobody_guards_where_others_beat_or_too_few_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat_listener, "SILENCE", 2.0)

    async def play(scene: Scene) -> None:
        assert scene.listener.guard(0.001)
        assert scene.listener.expect(dict.fromkeys(CROWD[1:], 1))  # which ends it
        await asyncio.sleep(0.002)
        told = len(scene.told)
        scene.send(*(beat(token, 2) for token in CROWD))
        await asyncio.sleep(0.01)
        assert len(scene.told) == told
        assert not scene.listener.guard(30.0)  # somebody is there who is not expected
        scene.known.remove(CROWD[0])
        assert scene.listener.expect(dict.fromkeys(CROWD[1:], 1))
        assert not scene.listener.guard(30.0)  # he is gone, but they are too few
        monkeypatch.setattr(beat_listener, "GUARDED", len(CROWD) - 1)
        assert scene.listener.guard(30.0)
        scene.known.add(ONE)
        scene.send(beat())
        await scene.until(lambda: scene.told[-1][0].token == ONE)
        assert not scene.listener.guard(30.0)

    guarded(play)


def test_without_the_kernel_nobody_guards() -> None:
    async def play(scene: Scene) -> None:
        scene.send(beat())
        await scene.until(lambda: len(scene.told) == 1)
        assert scene.listener.expect({ONE: 1})
        assert not scene.listener.guard(30.0)

    played(play, False)


@both
def test_what_has_no_effect_is_counted(helped: bool) -> None:
    async def play(scene: Scene) -> None:
        scene.send(beat(sequence=5))
        await scene.until(lambda: len(scene.told) == 1)
        flawed = encode(beat(sequence=6))
        scene.send(flawed + b"\0", flawed[:-1], b"", b"x" * 128, beat(STRANGER), beat(sequence=4, flags=1))
        await scene.until(lambda: scene.listener.refused.total() == 6)
        assert scene.listener.refused == {"invalid": 4, "unknown": 1, "old": 1}
        scene.listener.drain()
        assert len(scene.told) == 1

    played(play, helped)


@both
def test_instances_that_are_gone_make_room(helped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat_listener, "SLOTS", 1)

    async def play(scene: Scene) -> None:
        scene.send(beat())
        await scene.until(lambda: len(scene.told) == 1)
        scene.send(beat(OTHER))
        await scene.until(lambda: scene.listener.refused == {"full": 1})
        scene.known.remove(ONE)
        scene.send(beat(OTHER))
        await scene.until(lambda: len(scene.told) == 2)
        scene.send(beat(), beat(sequence=2))
        await scene.until(lambda: scene.listener.refused == {"full": 1, "unknown": 2})
        scene.listener.drain()
        assert [each.token for each, _ in scene.told] == [ONE, OTHER]

    played(play, helped)


@both
def test_two_addresses_and_nothing_is_left(helped: bool) -> None:
    async def play() -> None:
        told: list[bytes] = []
        listener = BeatListener(lambda token, _beat, _now: told.append(token), lambda _token: True, helped=helped)
        with pytest.raises(OrchestratorError, match="annot assign"), listener.on("192.0.2.1:0"):
            pass
        with listener.on("127.0.0.1:0") as one, listener.on("[::1]:0") as other:
            assert one.startswith("127.0.0.1:")
            assert other.startswith("[::1]:")
            with pytest.raises(OrchestratorError, match="Address already in use"), listener.on(one):
                pass
            for family, address, token in ((socket.AF_INET, one, ONE), (socket.AF_INET6, other, OTHER)):
                host, _, port = address.rpartition(":")
                with socket.socket(family, socket.SOCK_DGRAM) as sender:
                    sender.sendto(encode(beat(token)), (host.strip("[]"), int(port)))
            deadline = time.monotonic() + PATIENCE
            while sorted(told) != [ONE, OTHER]:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.001)

    before = len(list(Path("/proc/self/fd").iterdir()))
    asyncio.run(play())
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.root
def test_root_has_the_kernels_help() -> None:
    async def play() -> bool:
        listener = BeatListener(lambda *_: None, lambda _token: True)
        with listener.on("127.0.0.1:0"):
            return listener.helped

    assert asyncio.run(play())
