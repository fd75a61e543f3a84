"""Many timers, four claimers in processes of their own, three of them killed with claims in their hands: no flow is
lost, and none has its store effects twice. Each flow has a counter of its own, so that no two faults hide each other.

`--timers N` sets how many.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import valkey

from conftest import eventually
from statelessnf.store.client import StoreClient
from statelessnf.store.service_requests import Creation, NewFlow, PairChange, new_token
from statelessnf.store.shards import TAGS
from statelessnf.store.url import unix_url
from statelessnf.store.valkey_services import ValkeyServices
from timer_claimer import DEPLOYMENT, NAME

pytestmark = pytest.mark.beside

SCRIPT = Path(__file__).with_name("timer_claimer.py")
LEASE = 700  # ms
BACKSTOP = 10**9
SPREAD = 2000  # ms within which flows end


@contextmanager
def claimer(socket: Path, hold_after: int) -> Iterator[subprocess.Popen[str]]:
    source = Path(sys.modules["statelessnf"].__path__[0]).parent
    environment = {**os.environ, "PYTHONPATH": str(source)}
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), str(socket), str(LEASE), str(hold_after)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def keys_of(number: int) -> tuple[bytes, ...]:
    """Every tenth flow has two keys."""
    head = b"{%s}%sf" % (TAGS[number % 256], DEPLOYMENT.to_bytes(4, "little"))
    ends = (b"i", b"o") if number % 10 == 0 else (b"i",)
    return tuple(head + end + number.to_bytes(4, "little") for end in ends)


def record(number: int, deadline: int) -> bytes:
    return struct.pack("<BQQ", 1, number, deadline)


def make_flows(services: ValkeyServices, numbers: range) -> None:
    """They have ended or end within SPREAD; half of those with two keys are refreshed: their timers fire too early."""
    now, chance = services.now(), random.Random(1)
    ends = {number: now + chance.randrange(SPREAD) for number in numbers}
    flows = [
        NewFlow(keys_of(number), record(number, end), end + BACKSTOP, new_token(), b"%d" % number)
        for number, end in ends.items()
    ]
    assert all(made.outcome is Creation.created for made in services.create(flows))
    late = services.now() + SPREAD
    changes = [
        PairChange((pair[0], pair[1]), record(number, end), record(number, late), late + BACKSTOP)
        for number, end in ends.items()
        if number % 20 == 0 and len(pair := keys_of(number)) == 2
    ]
    assert all(change.changed for change in services.change_pairs(changes))


def test_killed_claimers_lose_nothing_and_nothing_happens_twice(
    valkey_server: Path, request: pytest.FixtureRequest
) -> None:
    total: int = request.config.getoption("--timers")
    with ExitStack() as stack:
        client = stack.enter_context(StoreClient(unix_url(str(valkey_server))))
        raw = stack.enter_context(valkey.Valkey(unix_socket_path=str(valkey_server)))
        services = ValkeyServices(client, DEPLOYMENT, NAME)
        make_flows(services, range(total))
        assert services.counts() == {b"%d" % number: 1 for number in range(total)}
        holders = [stack.enter_context(claimer(valkey_server, after)) for after in (0, total // 20)]
        for process in holders:
            assert line_of(process) == "holding"
        before = raw.dbsize()
        survivor, victim = [stack.enter_context(claimer(valkey_server, -1)) for _ in range(2)]
        assert eventually(lambda: 0 < raw.dbsize() < before)
        for process in (*holders, victim):
            process.kill()
        assert eventually(lambda: raw.dbsize() == 0, 60), (raw.dbsize(), services.counts())
        assert services.counts() == {}
        ended, _, _, changed, unreadable = map(int, survivor.communicate()[0].split())
        assert 0 < ended < total
        assert (changed, unreadable) == (0, 0)
