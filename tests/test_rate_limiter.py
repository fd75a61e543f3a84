"""The rate limiter of docs/writing-a-function.md: its bound, rule 8, both forms, and a capture through instances of it.

The function is found as users' functions are: by file and class, next to its deployment file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from forms import assert_forms_agree
from statelessnf.capture import CaptureReader, CaptureWriter
from statelessnf.commands.replay import ReplayRequest, replay
from statelessnf.config import load
from statelessnf.function import Outcome, plain_tables, run_plain, table_arrays
from statelessnf.packet import ACK, FORWARD, FRAGMENT, ICMP_ERROR, PACKET, SYN, drop_as
from statelessnf.packet import TCP as TCP_NUMBER
from statelessnf.packet import UDP as UDP_NUMBER
from statelessnf.split import Split

pytestmark = pytest.mark.beside

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "rate-limiter.toml"
DEPLOYMENT = load(EXAMPLE)
LIMITER, CONFIG = DEPLOYMENT.function_class, DEPLOYMENT.settings
RATE, BURST = 500_000, 250_000  # as in the file
TOO_FAST = drop_as(0)
FIRST = 2**32 - 50_000  # sequence number of the first byte: the numbers begin again at 0 within the burst
START = 2**32 - 500  # ms; so does the clock modulo 2^32


class Play:
    """One connection in the plain form, its record kept as the engine would. Drops leave the record as it was."""

    def __init__(self) -> None:
        self.tables = plain_tables(LIMITER, table_arrays(LIMITER, CONFIG))
        self.row = np.zeros(1, LIMITER.record)
        self.commits = 0
        self.effects: list[int] = []  # of the last packet

    def packet(self, ms: int, position: int, length: int, **fields: Any) -> Any:
        """`length` bytes from `position` of the stream on, `ms` after the start."""
        packet = np.zeros(1, PACKET)[0]
        values = {"protocol": TCP_NUMBER, "tcp_flags": ACK, "payload_length": length, "now": START + ms}
        for name, value in (values | {"sequence": (FIRST + position) % 2**32} | fields).items():
            packet[name] = value
        return packet

    def run(self, packet: Any) -> Outcome:
        outcome = run_plain(LIMITER, packet, self.row[0], self.tables)
        assert not outcome.fault
        changed = outcome.record.tobytes() != self.row.tobytes()
        assert outcome.verdict == FORWARD or not changed, "a drop changed the record"
        self.effects = packet["effects"][: packet["effect_count"]].tolist()
        self.commits += changed
        self.row = outcome.record
        return outcome

    def send(self, ms: int, position: int, length: int, **fields: Any) -> int:
        """The verdict."""
        return self.run(self.packet(ms, position, length, **fields)).verdict


def test_burst_then_rate() -> None:
    play = Play()
    assert play.send(0, 0, BURST) == FORWARD
    assert play.send(0, BURST, 1000) == TOO_FAST
    assert play.send(1, BURST, 1000) == TOO_FAST
    assert play.send(2, BURST, 1000) == FORWARD  # 2 ms at 500 bytes a millisecond
    assert play.send(2, BURST, 1000) == FORWARD  # a retransmission is not counted again
    assert play.send(2, BURST + 1000, 1) == TOO_FAST


def test_each_direction_has_its_own_limit() -> None:
    play = Play()
    assert play.send(0, 0, BURST) == FORWARD
    assert play.send(0, BURST, 1) == TOO_FAST
    assert play.send(0, BURST, 1, direction=1) == FORWARD


def test_silence_is_worth_one_burst() -> None:
    play = Play()
    assert play.send(0, 0, BURST) == FORWARD
    assert play.send(600_000, 2 * BURST, 1) == TOO_FAST
    assert play.send(600_000, BURST, BURST) == FORWARD
    assert play.send(600_000, 2 * BURST, 1) == TOO_FAST


def test_a_clock_a_little_behind_the_one_that_wrote_is_worth_nothing() -> None:
    play = Play()
    assert play.send(5, 0, BURST) == FORWARD
    assert play.send(4, BURST, 1) == TOO_FAST
    assert play.send(5, BURST, 1) == TOO_FAST


def test_a_connection_that_takes_the_ports_again_starts_anew() -> None:
    play = Play()
    assert play.send(0, 0, BURST) == FORWARD
    assert play.send(5, 1 << 30, 0) == TOO_FAST
    assert play.send(5, 1 << 30, 0, tcp_flags=SYN) == FORWARD
    assert play.send(5, 1 << 30, BURST) == FORWARD


@pytest.mark.parametrize("fields", [{"protocol": UDP_NUMBER}, {"kind": ICMP_ERROR}, {"kind": FRAGMENT}])
def test_what_has_no_numbers_passes_and_costs_no_commit(fields: dict[str, int]) -> None:
    play = Play()
    assert play.send(0, 0, 1000) == FORWARD
    assert play.send(0, 1 << 30, 1000, **fields) == FORWARD
    assert play.commits == 1


def test_commits_are_few_and_effects_tell() -> None:
    """20 s at the full rate, a packet every 2 ms: a commit at the start, and one with an event for each half burst."""
    play, events = Play(), 0
    assert play.send(0, 0, BURST) == FORWARD
    for step in range(1, 10_001):
        assert play.send(2 * step, BURST + 1000 * (step - 1), 1000) == FORWARD
        events += len(play.effects)
    assert (play.commits, events) == (81, 80)
    assert play.send(20_000, BURST + 10_000_000, 1000) == TOO_FAST
    assert play.effects == [3 << 24]  # COUNT, of direction 0


def test_lifetime() -> None:
    play = Play()
    assert play.run(play.packet(0, 0, 10)).lifetime == 300_000


_steps = st.tuples(
    st.sampled_from([0, 0, 1, 2, 30, 200, 999, 1000, 5000, 100_000]),  # pause, ms
    st.sampled_from([0, 0, 0, 0, 1000, 60_000, BURST, -1000, -BURST]),  # jump from the end of what has passed
    st.sampled_from([0, 1, 1000, 1460, 20_000, 65_000]),  # length
)
_full = [(0, 0, 65_000)] * 4 + [(200, 0, 65_000)] * 9 + [(100_000, 0, 65_000)] + [(0, 0, 65_000)] * 12


@settings(max_examples=200, deadline=None)
@example(_full)
@given(st.lists(_steps, min_size=1, max_size=40))
def test_bound_and_idempotence(steps: list[tuple[int, int, int]]) -> None:
    """Between any two moments at most the rate and two bursts pass; and a packet whose commit is known to have happened
    may be run again (rule 8): same verdict, same record."""
    play, now, high = Play(), 0, 0
    begin = max(0, steps[0][1])
    passed: list[tuple[int, int]] = []  # when, and how far the stream was then
    for pause, jump, length in steps:
        now, position = now + pause, max(0, high + jump)
        sent = play.packet(now, position, length)
        once = play.run(sent.copy())
        again = run_plain(LIMITER, sent.copy(), once.record[0], play.tables)
        assert (again.verdict, again.record.tobytes()) == (once.verdict, once.record.tobytes())
        if once.verdict == FORWARD:
            high = max(high, position + length)
            passed.append((now, high))
    assert all(end <= begin + BURST + RATE * (when - passed[0][0]) // 1000 for when, end in passed)
    for index, (since, before) in enumerate(passed):
        assert all(end - before <= 2 * BURST + RATE * (when - since) // 1000 for when, end in passed[index:])


def test_forms_agree() -> None:
    assert_forms_agree(LIMITER, CONFIG)


def bare(code: str) -> str:
    """Its lines without indentation, and without those that are empty."""
    return "\n".join(line.strip() for line in code.splitlines() if line.strip())


def test_the_guide_shows_this_file_and_its_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python on the page is either part of the example, word for word, or a program."""
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "writing-a-function.md").read_text()
    source = bare(EXAMPLE.with_name("rate_limiter.py").read_text())
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    programs = [block for block in blocks if bare(block) not in source]
    assert (len(blocks), len(programs)) == (4, 1)
    exec(programs[0], {})


def capture(path: Path) -> int:
    """Two downloads at 1.4 MB/s that go back every 500 ms to where 500 KB/s would be, and a datagram each time.

    Returns the number of packets.
    """
    segments = [Ether() / IP(src="198.18.0.1", dst=f"10.0.0.{client}") / TCP(sport=80, dport=4000) for client in (1, 2)]
    query = bytes(Ether() / IP(src="10.0.0.1", dst="198.18.0.1") / UDP(sport=4000, dport=53) / Raw(b"?"))
    written = 0
    with CaptureWriter(path) as writer:
        for step in range(2500):
            for segment in segments:
                segment[TCP].flags = "A"
                segment[TCP].seq = (FIRST + step // 500 * 250_000 + step % 500 * 1400) % 2**32
                writer.write((1000 + step) * 1_000_000, bytes(segment / Raw(bytes(1400))))
            if step % 500 == 0:
                writer.write((1000 + step) * 1_000_000, query)
            written += 2 + (step % 500 == 0)
    return written


def through(folder: Path, *way: Any) -> tuple[bytes, bytes]:
    """What comes out, and what is dropped, of a replay with these instances, split and store."""
    out, lost = folder / "out.pcap", folder / "drops.pcap"
    instances, split, store = way
    replay(
        ReplayRequest(
            EXAMPLE, folder / "in.pcap", out, instances, split, store, cache=None, json=True, capture_drops=lost
        )
    )
    return out.read_bytes(), lost.read_bytes()


def test_replay_is_the_same_with_three_instances(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One instance with its state inside, and three that share a store and get packets in turn: the same bytes."""
    sent = capture(tmp_path / "in.pcap")
    alone = through(tmp_path, 1, Split.flow, "memory")
    document = json.loads(capsys.readouterr().out)
    assert document["packets"] == sent
    assert document["drops"] == {"too_fast": document["dropped"]}
    assert 1000 < document["dropped"] < sent / 2
    with CaptureReader(tmp_path / "out.pcap") as reader:
        assert sum(Ether(packet.frame).haslayer(UDP) for packet in reader) == 5
    assert through(tmp_path, 3, Split.packet, "embedded") == alone
