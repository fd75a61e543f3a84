"""A deadline that is put off within the loop's wait: asked in time, never too early, whatever else the loop does."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Coroutine
from math import inf
from typing import Any

import pytest

from statelessnf.orchestrator.patient_loop import PatientLoop, PatientSelector

pytestmark = pytest.mark.beside

STEP = 0.002  # seconds


def played(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=PatientLoop) as runner:
        runner.run(work)


def patient() -> PatientSelector:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, PatientLoop)
    return loop.patient


class Asked:
    """Puts off by STEP, so many times; then the loop gets something to do."""

    def __init__(self, times: int) -> None:
        self.early, self.count, self._times = False, 0, times
        self.over = asyncio.Event()
        self._selector = patient()
        self._selector.put_off, self._selector.due = self, time.monotonic() + STEP

    def __call__(self, now: float) -> float:
        self.early = self.early or now < self._selector.due
        self.count += 1
        if self.count < self._times:
            return now + STEP
        asyncio.get_running_loop().call_soon(self.over.set)
        return inf


async def spin(until: asyncio.Event) -> None:
    while not until.is_set():
        await asyncio.sleep(0)


def test_it_is_asked_at_each_deadline_without_a_turn_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        waits = 0
        select = PatientSelector.select

        def counted(self: PatientSelector, timeout: float | None = None) -> Any:
            nonlocal waits
            waits += 1
            return select(self, timeout)

        monkeypatch.setattr(PatientSelector, "select", counted)
        asked, began = Asked(20), time.monotonic()
        await asked.over.wait()
        assert time.monotonic() - began >= 20 * STEP
        assert (asked.count, asked.early) == (20, False)
        assert waits <= 3  # one that lasts, and what leads to the end

    played(play())


def test_a_loop_that_never_waits_asks_too() -> None:
    async def play() -> None:
        asked = Asked(5)
        await spin(asked.over)
        assert (asked.count, asked.early) == (5, False)

    played(play())


def test_a_loop_that_always_finds_something_to_read_asks_too() -> None:
    async def play() -> None:
        loop, asked = asyncio.get_running_loop(), Asked(5)
        one, other = socket.socketpair()
        with one, other:
            other.send(b"x")
            loop.add_reader(one, lambda: None)  # it stays readable
            await asyncio.wait_for(asked.over.wait(), 60)
            loop.remove_reader(one)
        assert (asked.count, asked.early) == (5, False)

    played(play())


def test_timers_sockets_and_threads_are_served_meanwhile() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        asked = Asked(1 << 30)
        began = loop.time()
        await asyncio.sleep(5 * STEP)
        assert loop.time() - began >= 5 * STEP
        assert await asyncio.to_thread(lambda: 7) == 7
        one, other = socket.socketpair()
        with one, other:
            one.setblocking(False)
            loop.call_later(3 * STEP, other.send, b"x")
            assert await asyncio.wait_for(loop.sock_recv(one, 1), 60) == b"x"
        assert asked.count > 0
        assert not asked.early

    played(play())


def test_without_a_deadline_it_is_a_loop_like_others() -> None:
    async def play() -> None:
        patient().put_off = lambda _now: pytest.fail("asked without a deadline")
        await asyncio.sleep(STEP)
        process = await asyncio.create_subprocess_exec("true")
        assert await process.wait() == 0

    played(play())
