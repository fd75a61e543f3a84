"""The functions that write flows, on the simulated store and on the real one: the same scripts, byte for byte, replies
and pushes, and the same timers, entries and counters when they have ended.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
import valkey
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from statelessnf.store.simulated import SimulatedServer
from store_scripts import (
    CACHING,
    CLIENTS,
    FUTURE,
    PAST,
    Script,
    Words,
    keys,
    msetexes,
    others,
    reads,
    records,
    run_real,
    run_simulated,
    values,
)

pytestmark = pytest.mark.beside

R1, R2 = struct.pack("<BQQ", 1, 1, 5), struct.pack("<BQQ", 1, 2, 10)
likely = st.sampled_from([R1, R2])
OWN = ("timers", "entries", "counters")
TOKENS = st.sampled_from([*["token--1", "token--2"] * 4, "short"])
puts = st.tuples(
    st.sampled_from(["put", "make"]),
    st.one_of(
        st.permutations(["a", "b", "c"]),
        st.permutations(["a", "b", "c"]).map(lambda names: names[:2]),
        st.lists(keys, max_size=4),
    ),
    st.sampled_from([*["same", "anew", "anew"] * 3, "what"]),
    st.one_of(st.just(""), likely, likely, records, values),
    st.one_of(likely, likely, records, values),
    st.sampled_from([*[FUTURE] * 9, PAST, "0", str(1 << 53), str((1 << 53) + 1), "x"]),
    st.sampled_from(["0", "5", "7", "10", "20", FUTURE, "5", "7", "20", "-1", "1e3"]),
)
pair_puts = puts.map(lambda put: ("FCALL", f"snf_pair_{put[0]}", str(len(put[1])), *put[1], *put[2:]))
flow_puts = st.tuples(puts, TOKENS, st.sampled_from([*["", "one", "two"] * 3, "x" * 256])).map(
    lambda parts: (
        *("FCALL", f"snf_flow_{parts[0][0]}", str(3 + len(parts[0][1])), *OWN, *parts[0][1], *parts[0][2:]),
        *parts[1:],
    )
)
short_puts = st.tuples(flow_puts, st.integers(3, 14)).map(lambda parts: parts[0][: parts[1]])
put_commands = st.one_of(st.just(CACHING), reads, msetexes, pair_puts, flow_puts, flow_puts, short_puts, others)


def flow_put(
    *names: str, kind: str = "anew", old: bytes | str = "", new: bytes = R1, counter: str = "one", now: str = "7",
    expire_at: str = FUTURE,
) -> Words:  # fmt: skip
    words = (kind, old, new, expire_at, now, "token--1", counter)
    return ("FCALL", "snf_flow_put", str(3 + len(names)), *OWN, *names, *words)


def kept_by(path: Path) -> list[dict[bytes, object]]:
    """What the functions keep beside records, in the real store."""
    with valkey.Valkey(unix_socket_path=str(path)) as raw:
        timers = {name: int(due) for name, due in raw.zrange(OWN[0], 0, -1, withscores=True)}
        counters = {name: int(number) for name, number in raw.hgetall(OWN[2]).items()}
        return [timers, raw.hgetall(OWN[1]), counters]


@example(
    [(0, flow_put("a", "b")), (0, flow_put("a", "c", "b", old=R1, new=R2, counter="two")), (1, ("MGET", "b", "c"))]
)
@example(
    [(0, flow_put("a", "b")), (0, CACHING), (0, flow_put("a", "b", kind="same", old=R1, new=R1)), (1, flow_put("b"))]
)
@example([(0, CACHING), (0, ("MGET", "a", "b", "c")), (1, flow_put("a", "b")), (1, flow_put("a", "c", "b", old=R1))])
@example([(0, CACHING), (0, flow_put("a", "b", kind="same", old=R1)), (1, flow_put("a", "b")), (1, ("DEL", "a"))])
@example([(0, flow_put("a")), (0, CACHING), (0, flow_put("a", kind="same", old=R1)), (1, flow_put("a", "b", old=R1))])
@example([(0, flow_put("a", "b")), (1, flow_put("c", "b", new=R2)), (1, flow_put("c", "b", kind="same", old=R1))])
@example([(0, ("MSETEX", "1", "b", "1")), (0, flow_put("a", "b")), (0, flow_put("b", old="1", new=R2))])
@example([(0, flow_put("b")), (0, flow_put("a", "b", now="5")), (0, flow_put("a", "b", now="6"))])
@example([(0, flow_put("a", "b")), (0, flow_put("a", "b", "b", old=R1, new=R2)), (1, ("MGET", "a", "b"))])
@example(
    [(0, flow_put("c", new=R2)), (0, flow_put("a")), (0, flow_put("a", "b", "c", old=R1)), (1, ("MGET", "b", "c"))]
)
@example([(0, flow_put("a", new=struct.pack("<BQQ", 1, 1, (1 << 53) + 1), expire_at=str(1 << 53)))])
@example([(0, flow_put("a", expire_at=str((1 << 53) + 1)))])
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.tuples(st.integers(0, CLIENTS - 1), put_commands), max_size=30))
def test_same_flows_same_bytes_and_the_same_is_kept(real: Path, script: Script) -> None:
    server = SimulatedServer(now_us=time.time_ns() // 1000)
    wanted, found = run_real(real, script), run_simulated(script, server)
    for number, command in enumerate(script):
        assert found[number] == wanted[number], f"command {number}: {command}"
    functions = server.functions
    assert [functions.timers.get(b"timers", {}), functions.entries.get(b"entries", {})] == kept_by(real)[:2]
    assert functions.counters.get(b"counters", {}) == kept_by(real)[2]


def test_full_store_refuses_makes_only(real: Path) -> None:
    made = tuple(word if word != "snf_flow_put" else "snf_flow_make" for word in flow_put("c"))
    script: Script = [(0, flow_put("a", "b")), (0, made), (0, ("MSETEX", "1", "a", "1"))]
    script += [(0, ("FCALL", "snf_pair_make", "x", "a")), (0, ("FCALL", "snf_of_tomorrow", "0"))]
    with valkey.Valkey(unix_socket_path=str(real)) as raw:
        raw.config_set("maxmemory", 1)
        try:
            wanted = run_real(real, script)
        finally:
            raw.config_set("maxmemory", "64mb")
    assert run_simulated(script, SimulatedServer(memory_limit=-1)) == wanted
    assert sum(b"OOM" in answer[0] for answer in wanted) == 3


def test_flush_forgets_what_the_functions_keep() -> None:
    server = SimulatedServer(now_us=1)
    run_simulated([(0, flow_put("a", "b"))], server)
    assert server.functions.timers == {b"timers": {b"a": 5}}
    run_simulated([(0, ("FLUSHALL",))], server)
    functions = server.functions
    assert (functions.timers, functions.entries, functions.counters) == ({}, {}, {})
