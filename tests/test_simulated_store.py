"""The simulated store is held against the real one: the same scripts on both, byte for byte, replies and pushes."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from statelessnf.store.embedded import embedded_store
from statelessnf.store.simulated import SimulatedServer
from statelessnf.store.simulated_link import encode_command
from store_scripts import (
    CACHING,
    CLIENTS,
    FUTURE,
    PAST,
    RealClient,
    Script,
    Words,
    deadlines,
    keys,
    msetexes,
    others,
    reads,
    real_clients,
    run_real,
    run_simulated,
    simulated_clients,
    values,
)

pytestmark = pytest.mark.beside

conditions = st.one_of(st.just(()), st.just(("NX",)), st.tuples(st.just("IFEQ"), values))
sets = st.tuples(keys, values, conditions, st.sampled_from([(), ("GET",)]), deadlines).map(
    lambda parts: ("SET", parts[0], parts[1], *parts[2], *parts[3], *parts[4])
)
commands = st.one_of(st.just(CACHING), reads, sets, msetexes, others)
scripts = st.lists(st.tuples(st.integers(0, CLIENTS - 1), commands), max_size=40)


@example([(0, CACHING), (0, ("MGET", "a", "b")), (1, ("SET", "a", "1")), (1, ("SET", "a", "2")), (1, ("DEL", "b"))])
@example([(0, ("SET", "a", "1")), (0, CACHING), (0, ("GET", "a")), (0, ("SET", "a", "2")), (1, ("SET", "a", "3"))])
@example([(0, CACHING), (0, ("PING",)), (0, ("GET", "a")), (1, ("SET", "a", "1"))])
@example([(0, CACHING), (0, ("NONSENSE",)), (0, ("GET", "a")), (1, ("SET", "a", "1"))])
@example([(0, CACHING), (0, ("GET", "a")), (0, ("SET", "a", "1", "IFEQ", "9", "GET")), (1, ("SET", "a", "1"))])
@example([(1, ("SET", "a", "1")), (0, CACHING), (0, ("GET", "a")), (0, ("SET", "a", "1", "PXAT", PAST))])
@example([(0, CACHING), (0, ("GET", "a")), (2, CACHING), (2, ("GET", "b")), (1, ("FLUSHALL",)), (1, ("SET", "a", "1"))])
@example([(0, CACHING), (0, ("GET", "a")), (1, ("MSETEX", "1", "a", "1", "PXAT", PAST)), (1, ("DEL", "a"))])
@example([(0, CACHING), (0, ("GET", "a")), (1, ("SET", "a", "1", "PXAT", PAST)), (1, ("SET", "a", "1"))])
@example([(0, CACHING), (0, ("GET", "a")), (1, ("MSETEX", "2", "a", "1", "a", "2", "NX")), (0, ("GET", "a"))])
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(scripts)
def test_same_script_same_bytes(real: Path, script: Script) -> None:
    wanted, found = run_real(real, script), run_simulated(script)
    for number, command in enumerate(script):
        assert found[number] == wanted[number], f"command {number}: {command}"


@pytest.mark.parametrize(
    "words",
    [
        ("HELLO", "4"),
        ("AUTH", "default", "any"),
        ("AUTH", "nobody", "any"),
        ("CLIENT", "SETNAME", "a b"),
        ("SELECT", "0"),
        ("SET", "a", "1", "NX", "IFEQ", "2"),
        ("SET", "a", "1", "PXAT", "x"),
        ("SET", "a", "1", "PXAT", "0"),
        ("MSETEX", "1", "a"),
        ("MSETEX", "0", "a", "1"),
        ("MSETEX", "-1", "a", "1"),
        ("MSETEX", "x", "a", "1"),
        ("MSETEX", "2", "a", "1"),
        ("MSETEX", "2", "a", "1", "b"),
        ("MSETEX", "1", "a", "1", "b"),
        ("MSETEX", "1", "a", "1", "PXAT"),
        ("MSETEX", "1", "a", "1", "PXAT", ""),
        ("MSETEX", "1", "a", "1", "PXAT", "x"),
        ("MSETEX", "1", "a", "1", "PXAT", "0"),
        ("MSETEX", "1", "a", "1", "PXAT", "x", "WHAT"),
        ("MSETEX", "1", "a", "1", "PXAT", PAST, "PXAT", FUTURE),
        ("FCALL", "snf_pair_put"),
        ("FCALL", "snf_pair_put", "x"),
        ("FCALL", "snf_pair_put", "-1", "a"),
        ("FCALL", "snf_pair_put", "2", "a"),
        ("FCALL", "snf_pair_put", "2", "a", "b"),
        ("FCALL", "snf_flow_put", "0"),
        ("FCALL", "snf_of_tomorrow", "x"),
        ("GET",),
        ("DEL",),
    ],
)
def test_same_answer_to_the_odd_request(real: Path, words: Words) -> None:
    assert run_simulated([(0, words)]) == run_real(real, [(0, words)])


def test_same_greeting(real: Path) -> None:
    """HELLO, but for the connection's number and the server's modules; and RESP2's nil before it."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(real))
        link.sendall(encode_command("GET", "none") + encode_command("HELLO", "3"))
        wanted = b""
        while not wanted.endswith(b"$4\r\nargs\r\n*0\r\n"):
            wanted += link.recv(65536)
    server = SimulatedServer()
    simulated = server.connect()
    simulated.send(encode_command("GET", "none") + encode_command("HELLO", "3"))
    assert server.step(simulated)
    assert server.step(simulated)
    found = simulated.receive()
    shape = re.compile(rb"(?s)(.*\$2\r\nid\r\n):\d+(.*modules\r\n\*)")
    wanted_match, found_match = shape.match(wanted), shape.match(found)
    assert wanted_match is not None
    assert found_match is not None
    assert found_match.groups() == wanted_match.groups()


def test_expiry_tells_everybody(real: Path) -> None:
    deadline = time.time_ns() // 1_000_000 + 300
    script: Script = [(0, ("SET", "a", "1", "PXAT", str(deadline)))]
    for who in (0, 1):
        script += [(who, CACHING), (who, ("GET", "a"))]
    with real_clients(real) as clients:
        for who, words in script:
            clients[who].send(*words)
            clients[who].until_fence()
        wanted = [b"", b"", b""]
        while time.time_ns() // 1_000_000 < deadline + 5000 and not (wanted[0] and wanted[1]):
            wanted = [so_far + client.until_fence() for so_far, client in zip(wanted, clients, strict=True)]
    server = SimulatedServer(now_us=(deadline - 300) * 1000)
    links = simulated_clients(server)
    for who, words in script:
        links[who].send(encode_command(*words))
        server.step(links[who])
        links[who].receive()
    server.advance(299_999)
    assert [link.receive() for link in links] == [b"", b"", b""]
    server.advance(1)
    assert [link.receive() for link in links] == wanted
    assert wanted[0] == wanted[1] == b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"
    assert wanted[2] == b""


def test_full_store_refuses_writes_only(real: Path) -> None:
    script: Script = [(0, ("SET", "a", "1")), (0, ("GET", "a")), (0, ("DEL", "a")), (0, ("SET", "a", "1", "NX", "GET"))]
    script.append((0, ("MSETEX", "x", "a", "1")))
    admin = RealClient(real)
    try:
        admin.send("CLIENT", "SETNAME", "fence")
        admin.send("CONFIG", "SET", "maxmemory", "1")
        admin.until_fence()
        wanted = run_real(real, script)
    finally:
        admin.send("CONFIG", "SET", "maxmemory", "64mb")
        admin.until_fence()
        admin.socket.close()
    server = SimulatedServer(memory_limit=-1)
    links = simulated_clients(server)
    for (who, words), want in zip(script, wanted, strict=True):
        links[who].send(encode_command(*words))
        server.step(links[who])
        assert [link.receive() for link in links] == want
    roomy = SimulatedServer(memory_limit=200)
    link = roomy.connect()
    for name in "abcd":
        link.send(encode_command("SET", name, "x" * 50))
        roomy.step(link)
    assert link.receive().count(b"+OK") == 2


def test_password(tmp_path: Path) -> None:
    requests = [("GET", "a"), ("HELLO", "3"), ("HELLO", "3", "AUTH", "default", "no"), ("AUTH", "no")]
    with embedded_store(tmp_path / "run", 64) as store:
        admin = RealClient(store.socket_path)
        admin.send("CLIENT", "SETNAME", "fence")
        admin.send("CONFIG", "SET", "requirepass", "yes")
        admin.until_fence()
        admin.socket.close()
        wanted = []
        for words in requests:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(store.socket_path))
                client.sendall(encode_command(*words))
                wanted.append(client.recv(65536))
    server = SimulatedServer(password="yes")
    for words, want in zip(requests, wanted, strict=True):
        link = server.connect()
        link.send(encode_command(*words))
        server.step(link)
        assert link.receive() == want
    link = server.connect()
    link.send(encode_command("HELLO", "3", "AUTH", "default", "yes") + encode_command("PING"))
    assert server.step(link)
    assert server.step(link)
    assert link.receive().endswith(b"+PONG\r\n")


def test_time_is_the_simulated_clock() -> None:
    server = SimulatedServer(now_us=5_000_007)
    link = server.connect()
    link.send(encode_command("TIME"))
    server.advance(1_000_000)
    server.step(link)
    assert link.receive() == b"*2\r\n$1\r\n6\r\n$1\r\n7\r\n"


def test_a_cut_link_loses_replies_and_may_still_write() -> None:
    server = SimulatedServer()
    dead, late, other = server.connect(), server.connect(), server.connect()
    for link, value in ((dead, "1"), (late, "2")):
        link.send(encode_command("SET", "a", value))
    dead.cut()
    late.cut(lose_commands=False)
    assert not server.step(dead)
    assert server.step(late)
    assert late.receive() == b""
    other.send(encode_command("GET", "a"))
    server.step(other)
    assert other.receive(4) == b"$1\r\n"
    assert other.receive() == b"2\r\n"


def test_a_command_in_pieces_waits_until_it_is_whole() -> None:
    server = SimulatedServer()
    link = server.connect()
    for byte in encode_command("SET", "a", "x\r\ny"):
        assert not server.step(link)
        link.send(bytes([byte]))
    assert server.step(link)
    assert server.values == {b"a": b"x\r\ny"}
    with pytest.raises(ValueError, match="want"):
        link.send(b"PING\r\n")
