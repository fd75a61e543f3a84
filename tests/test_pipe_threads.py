"""The death of a process is noticed by its pipes' threads, before the process itself has ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from kernel_facts import THREADS_ARE_WATCHED
from statelessnf.orchestrator.drivers.pipe_threads import THREAD_NAME, PipeThreads

PROGRAM = """
import ctypes, mmap, sys, threading
def named(name, wait):
    def run():
        ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)  # PR_SET_NAME
        ready.wait()
        wait()
    return threading.Thread(target=run, daemon=True)
ready = threading.Barrier(4)
ends = threading.Event()
for name, wait in ((sys.argv[1], ends.wait), (sys.argv[1], ends.wait), ("other", ends.wait)):
    named(name, wait).start()
memory = mmap.mmap(-1, 512 << 20)  # to be given back: takes a while
for page in range(0, len(memory), 4096):
    memory[page] = 1
ready.wait()
print("ready", flush=True)
sys.stdin.readline()
ends.set()
sys.stdin.readline()
"""


pytestmark = pytest.mark.skipif(not THREADS_ARE_WATCHED, reason="needs Linux 6.9 or later (PIDFD_THREAD)")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM, THREAD_NAME]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_sooner_than_the_process_itself(process: subprocess.Popen[str]) -> None:
    async def watch() -> tuple[float, float]:
        loop, times = asyncio.get_running_loop(), dict[str, float]()
        ended = asyncio.Event()

        def noticed(what: str) -> None:
            times[what] = time.monotonic()

        def has_ended() -> None:
            loop.remove_reader(pidfd)
            noticed("end")
            ended.set()

        pidfd = os.pidfd_open(process.pid)
        loop.add_reader(pidfd, has_ended)
        threads = PipeThreads(process.pid, lambda: noticed("pipe"))
        assert len(threads) == 2
        process.send_signal(signal.SIGKILL)
        await ended.wait()
        os.close(pidfd)
        return times["pipe"], times["end"]

    pipe, end = asyncio.run(watch())
    assert pipe < end


def test_one_that_ends_by_itself_is_noticed_and_told_once(process: subprocess.Popen[str]) -> None:
    async def watch() -> int:
        gone: list[int] = []
        threads = PipeThreads(process.pid, lambda: gone.append(1))
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        async with asyncio.timeout(10):
            while not gone:
                await asyncio.sleep(0.001)
        assert len(threads) == 0
        return len(gone)

    assert asyncio.run(watch()) == 1
    assert process.poll() is None


def test_who_has_none_or_is_gone_is_not_watched(process: subprocess.Popen[str]) -> None:
    async def watch() -> None:
        assert len(PipeThreads(os.getpid(), lambda: None)) == 0
        process.kill()
        process.wait()
        assert len(PipeThreads(process.pid, lambda: None)) == 0

    asyncio.run(watch())
