"""Properties of the firewall on random flows: idempotent, both forms agree, sparing with commits, not too strict."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firewall_play import Play, allow_all
from forms import assert_forms_agree, compare
from statelessnf.builder import build
from statelessnf.fields import Fields
from statelessnf.function import run_plain, table_arrays
from statelessnf.functions.firewall import Firewall
from statelessnf.functions.rule_match import LinearRules
from statelessnf.functions.tcp_states import ESTABLISHED
from statelessnf.functions.tcp_tracking import PASS, is_settled, track
from statelessnf.functions.tcp_window import FIRST_SLACK
from statelessnf.packet import ACK, FIN, FORWARD, ICMP, PACKET, PSH, RST, SYN, TCP, UDP
from test_firewall import SCRIPTS

pytestmark = pytest.mark.beside

A, B = 1000, 500_000
SA, FA = SYN | ACK, FIN | ACK

_flags = st.sampled_from([SYN, SA, ACK, ACK, ACK | PSH, FA, RST, RST | ACK, 0, SYN | FIN])
_numbers = st.sampled_from([0, 1, 2, 101, 500, 66_000, 300_000, 1 << 29]) | st.integers(0, 2**32 - 1)
_segments = st.fixed_dictionaries(
    {
        "side": st.integers(0, 1),
        "flags": _flags,
        "seq": _numbers,
        "ack": _numbers,
        "length": st.sampled_from([0, 0, 1, 100, 1460]),
        "window": st.sampled_from([0, 1, 512, 65535]),
        "scale": st.sampled_from([0, 7, 14, 255]),
        "pause": st.sampled_from([0, 0, 1, 300, 2000, 10_000, 70_000]),
        "protocol": st.sampled_from([TCP] * 8 + [UDP, ICMP]),
        "icmp_type": st.sampled_from([0, 8, 13]),
    }
)
_flows = st.lists(_segments, min_size=1, max_size=25)


def _packets(play: Play, flow: list[dict[str, Any]]) -> list[Any]:
    """Packets of one flow: numbers relative to the side's own, so that many lie within the window."""
    made, protocol = [], flow[0]["protocol"]
    for step in flow:
        play.now += step["pause"]
        own, other = (A, B) if step["side"] == 0 else (B, A)
        ack = (other + step["ack"]) % 2**32
        fields = {"sequence": (own + step["seq"]) % 2**32, "acknowledgement": ack, "sack": ack}
        fields |= {"tcp_flags": step["flags"], "payload_length": step["length"], "window": step["window"]}
        fields |= {"window_scale": step["scale"], "protocol": protocol, "icmp_type": step["icmp_type"]}
        made.append(play.packet(step["side"], **fields))
    return made


@settings(max_examples=150, deadline=None)
@given(_flows)
def test_process_is_idempotent(flow: list[dict[str, Any]]) -> None:
    """A packet whose commit is known to have happened may be run again: same verdict, and nothing more to commit."""
    play = Play()
    for packet in _packets(play, flow):
        once = run_plain(Firewall, packet.copy(), play.row[0], play.tables)
        again = run_plain(Firewall, packet.copy(), once.record[0], play.tables)
        assert again.verdict == once.verdict, packet
        play.row = once.record


def test_what_is_settled_passes_and_changes_nothing() -> None:
    """The short way of nearly every segment answers as `track` does."""
    settled = 0

    @settings(max_examples=300, deadline=None)
    @given(_flows)
    def agree(flow: list[dict[str, Any]]) -> None:
        nonlocal settled
        play = Play()
        for side, flags, seq, ack in ((0, SYN, A - 1, 0), (1, SA, B - 1, A), (0, ACK, A, B)):
            play.tcp(side, flags, seq, ack)
        for packet in _packets(play, [{**step, "protocol": TCP} for step in flow]):
            side, row = int(packet["direction"]), play.row.copy()
            if is_settled(Fields(packet), play.record, side):
                settled += 1
                assert track(Fields(packet), Fields(row[0]), side) == PASS
                assert row.tobytes() == play.row.tobytes()
            play.row = run_plain(Firewall, packet, play.row[0], play.tables).record

    agree()
    assert settled > 50


@pytest.mark.parametrize("name", SCRIPTS)
def test_process_is_idempotent_where_flows_get_far(name: str) -> None:
    play = Play()
    for number, (segment, verdict, _) in enumerate(SCRIPTS[name]):
        play.tcp(*segment)
        record = play.row.copy()
        assert play.tcp(*segment) == verdict, f"step {number}"
        play.row = record


@settings(max_examples=150, deadline=None)
@given(_flows)
def test_drops_change_nothing(flow: list[dict[str, Any]]) -> None:
    play = Play()
    for packet in _packets(play, flow):
        outcome = run_plain(Firewall, packet, play.row[0], play.tables)
        assert outcome.verdict == FORWARD or outcome.record.tobytes() == play.row.tobytes()
        play.row = outcome.record


def test_forms_agree() -> None:
    assert_forms_agree(Firewall, allow_all())


def test_forms_agree_on_flows() -> None:
    """Packets that get somewhere: any bytes at all seldom pass the handshake."""
    built, config = build(Firewall), allow_all()
    arrays, services = table_arrays(Firewall, config), LinearRules(Firewall.rules(config))

    @settings(max_examples=200, deadline=None)
    @given(_flows)
    def agree(flow: list[dict[str, Any]]) -> None:
        sent = np.zeros(len(flow), PACKET)
        for i, packet in enumerate(_packets(Play(config), flow)):
            sent[i] = packet
        compare(Firewall, built, sent, np.zeros(1, Firewall.record), arrays, services)

    agree()


def _opened(scale: int = 7) -> Play:
    play = Play()
    play.tcp(0, SYN, A, window_scale=scale)
    play.tcp(1, SA, B, A + 1, window_scale=scale)
    play.tcp(0, ACK, A + 1, B + 1, window=512)
    assert play.record.state == ESTABLISHED
    return play


@pytest.mark.parametrize("rate", [10**5, 5 * 10**9])
def test_busy_flow_costs_few_commits_whatever_its_rate(rate: float) -> None:
    """A download at `rate` bytes a second, 2,000 segments of 64 KB (offloaded), an acknowledgement for each."""
    play, size = _opened(), 65_000
    started = play.now
    for i in range(2000):
        play.now = started + int(1000 * i * size / rate)
        assert play.tcp(1, ACK, B + 1 + i * size, A + 1, size, window=512) == "forward"
        assert play.tcp(0, ACK, A + 1, B + 1 + (i + 1) * size, window=4096) == "forward"
    seconds = 2000 * size / rate
    assert play.commits - 3 <= 12 + 8 * seconds


def test_long_flow_at_line_rate() -> None:
    """10,000 full frames at 10 Gbit/s take 12 ms."""
    play = _opened()
    for i in range(10_000):
        play.now += i % 833 == 0
        assert play.tcp(0, ACK, A + 1 + i * 1460, B + 1, 1460, window=512) == "forward"
        if i % 2:
            assert play.tcp(1, ACK, B + 1, A + 1 + (i + 1) * 1460, window=4096) == "forward"
    assert play.commits - 3 <= 8


def test_short_flow_costs_six_commits() -> None:
    play = _opened()
    for i in range(90):
        play.tcp(1, ACK, B + 1 + i * 1460, A + 1, 1460, window=512)
        play.tcp(0, ACK, A + 1, B + 1 + (i + 1) * 1460, window=512)
    end = B + 1 + 90 * 1460
    play.tcp(1, FA, end, A + 1, window=512)
    play.tcp(0, ACK, A + 1, end + 1, window=512)
    play.tcp(0, FA, A + 1, end + 1, window=512)
    play.tcp(1, ACK, end + 1, A + 2, window=512)
    assert play.commits == 6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(30_000, 60_000), st.booleans()), min_size=40, max_size=60))
def test_what_an_honest_pair_sends_passes(steps: list[tuple[int, int, bool]]) -> None:
    """Each side sends within the other's window and acknowledges what it got; some segments come twice, or late."""
    play, sent, late = _opened(), [A + 1, B + 1], []
    for side, length, delayed in steps:
        segment = (side, ACK, sent[side], sent[1 - side], length, 1024)
        sent[side] += length
        if delayed:
            late.append(segment)
        assert play.tcp(*segment) == "forward"
        assert play.tcp(1 - side, ACK, sent[1 - side], sent[side], 0, 1024) == "forward"
        play.now += 100
    for segment in late:
        assert play.tcp(*segment) == "forward"


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 1))
def test_blind_segments_have_to_hit_the_window(guess: int, side: int) -> None:
    """Without knowing the numbers, a forged segment passes by chance only: window plus slack of 2^32."""
    play = _opened()
    own = (A, B)[side]
    window = 2 * 65536 + (1 << FIRST_SLACK) + 2 * 70_000
    passed = play.tcp(side, ACK, own + guess, (B, A)[side] + 1, 1, 512) == "forward"
    ahead = (guess - 1 + 2**32) % 2**32
    if passed and ahead < 2**31:
        assert ahead <= window
