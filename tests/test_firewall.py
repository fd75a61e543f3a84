"""The firewall's decisions: connection tracking case by case, rules, time-outs, effects."""

from typing import Any

import pytest

from firewall_play import Play, allow_all
from statelessnf.functions.firewall import NO_RULE, Firewall
from statelessnf.functions.tcp_states import (
    CLOSE,
    DOUBTED,
    ESTABLISHED,
    FIN_WAIT,
    LAST_ACK,
    REVIVED,
    SYN_RECV,
    SYN_SENT,
    SYN_SENT2,
    TIME_WAIT,
)
from statelessnf.functions.timeouts import STREAM, UNREPLIED
from statelessnf.packet import ACK, COUNT, EVENT, FIN, FRAGMENT, ICMP_ERROR, PSH, REJECT, RST, SCTP, SYN, TCP, UDP, URG

pytestmark = pytest.mark.beside

A, B = 1000, 500_000  # initial sequence numbers of sides 0 and 1
SA, FA, RA = SYN | ACK, FIN | ACK, RST | ACK
FAR = 1 << 29


def opened(config: Firewall.Config | None = None) -> Play:
    """After the handshake; window scale 7 on both sides."""
    play = Play(config)
    assert play.tcp(0, SYN, A, window_scale=7) == "forward"
    assert play.tcp(1, SA, B, A + 1, window_scale=7) == "forward"
    assert play.tcp(0, ACK, A + 1, B + 1, window=512) == "forward"
    assert (play.record.state, play.commits) == (ESTABLISHED, 3)
    return play


# Steps: (side, flags, seq, ack, length), verdict, state afterwards.
Step = tuple[tuple[int, ...], str, int]
HANDSHAKE: list[Step] = [
    ((0, SYN, A), "forward", SYN_SENT),
    ((1, SA, B, A + 1), "forward", SYN_RECV),
    ((0, ACK, A + 1, B + 1), "forward", ESTABLISHED),
]
SCRIPTS: dict[str, list[Step]] = {
    "mid-stream packets open nothing": [
        ((0, ACK, A, B), "no_flow", 0),
        ((0, SA, A, B), "no_flow", 0),
        ((0, FA, A, B), "no_flow", 0),
        ((0, RST, A), "no_flow", 0),
        ((0, 0, A), "no_flow", 0),
        ((0, SYN | FIN, A), "no_flow", 0),
    ],
    "close from side 0": [
        *HANDSHAKE,
        ((0, FA, A + 1, B + 1), "forward", FIN_WAIT),
        ((1, ACK, B + 1, A + 2), "forward", FIN_WAIT),
        ((1, FA, B + 1, A + 2), "forward", LAST_ACK),
        ((0, ACK, A + 2, B + 2), "forward", TIME_WAIT),
        ((1, FA, B + 1, A + 2), "forward", TIME_WAIT),
    ],
    "close from side 1, data still flows the other way": [
        *HANDSHAKE,
        ((1, FA, B + 1, A + 1), "forward", FIN_WAIT),
        ((0, ACK, A + 1, B + 2, 1000), "forward", FIN_WAIT),
        ((1, ACK, B + 2, A + 1001), "forward", FIN_WAIT),
        ((0, FA, A + 1001, B + 2), "forward", LAST_ACK),
        ((1, ACK, B + 2, A + 1002), "forward", TIME_WAIT),
    ],
    "retransmissions": [
        ((0, SYN, A), "forward", SYN_SENT),
        ((0, SYN, A), "forward", SYN_SENT),
        ((1, SA, B, A + 1), "forward", SYN_RECV),
        ((0, SYN, A), "forward", SYN_RECV),
        ((1, SA, B, A + 1), "forward", SYN_RECV),
        ((0, ACK, A + 1, B + 1), "forward", ESTABLISHED),
        ((1, SA, B, A + 1), "forward", ESTABLISHED),
        ((0, ACK, A + 1, B + 1, 100), "forward", ESTABLISHED),
        ((0, ACK, A + 1, B + 1, 100), "forward", ESTABLISHED),
    ],
    "simultaneous open": [
        ((0, SYN, A), "forward", SYN_SENT),
        ((1, SYN, B), "forward", SYN_SENT2),
        ((0, SA, A, B + 1), "forward", SYN_RECV),
        ((1, SA, B, A + 1), "forward", SYN_RECV),
        ((1, ACK, B + 1, A + 1), "forward", ESTABLISHED),
    ],
    "a tuple is used again after TIME_WAIT": [
        *HANDSHAKE,
        ((0, FA, A + 1, B + 1), "forward", FIN_WAIT),
        ((1, FA, B + 1, A + 2), "forward", LAST_ACK),
        ((0, ACK, A + 2, B + 2), "forward", TIME_WAIT),
        ((0, SYN, A + FAR), "forward", SYN_SENT),
        ((1, SA, B + FAR, A + FAR + 1), "forward", SYN_RECV),
        ((0, ACK, A + FAR + 1, B + FAR + 1), "forward", ESTABLISHED),
    ],
    "the server opens on the tuple after TIME_WAIT": [
        *HANDSHAKE,
        ((0, FA, A + 1, B + 1), "forward", FIN_WAIT),
        ((1, FA, B + 1, A + 2), "forward", LAST_ACK),
        ((0, ACK, A + 2, B + 2), "forward", TIME_WAIT),
        ((1, SYN, B + FAR), "forward", SYN_SENT),
        ((0, SA, A + FAR, B + FAR + 1), "forward", SYN_RECV),
        ((1, ACK, B + FAR + 1, A + FAR + 1), "forward", ESTABLISHED),
    ],
    "a client that lost its state opens again on an established flow": [
        *HANDSHAKE,
        ((0, SYN, A + FAR), "forward", ESTABLISHED),
        ((1, SA, B + FAR, A + FAR + 1), "forward", SYN_RECV),
        ((0, ACK, A + FAR + 1, B + FAR + 1), "forward", ESTABLISHED),
        ((1, ACK, B + FAR + 1, A + FAR + 1, 1000), "forward", ESTABLISHED),
        ((0, ACK, A + 1, B + 1 - FAR), "forward", ESTABLISHED),  # below: let pass, and nothing learnt
    ],
    "a SYN/ACK that answers no noted SYN changes nothing": [
        *HANDSHAKE,
        ((0, SYN, A + FAR), "forward", ESTABLISHED),
        ((1, SA, B + FAR, A + FAR + 2), "forward", ESTABLISHED),
        ((0, ACK, A + FAR + 1, B + FAR + 1), "out_of_window", ESTABLISHED),
    ],
    "the server has an old half-open connection": [
        ((0, SYN, A), "forward", SYN_SENT),
        ((1, ACK, B, A + FAR), "forward", SYN_SENT),
        ((0, RST, A + FAR), "forward", SYN_SENT),
        ((0, SYN, A), "forward", SYN_SENT),
        ((1, SA, B + FAR, A + 1), "forward", SYN_RECV),
    ],
    "a challenge ACK to a SYN in LAST_ACK is not the last ACK": [
        *HANDSHAKE,
        ((0, FA, A + 1, B + 1), "forward", FIN_WAIT),
        ((1, FA, B + 1, A + 2), "forward", LAST_ACK),
        ((0, SYN, A + FAR), "forward", LAST_ACK),
        ((1, ACK, B + 2, A + 2), "forward", LAST_ACK),
    ],
    "refused": [
        ((0, SYN, A), "forward", SYN_SENT),
        ((1, RA, 0, A + 1), "forward", CLOSE),
        ((1, RA, 0, A + 1), "forward", CLOSE),  # may be seen twice: a commit whose reply was lost is run again
        ((1, SA, B, A + 1), "no_flow", CLOSE),
        ((0, ACK, A + 1, B + 1), "no_flow", CLOSE),
        ((0, SYN, A + 5), "forward", SYN_SENT),
    ],
    "what cannot follow": [
        ((0, SYN, A), "forward", SYN_SENT),
        ((0, ACK, A + 1, B), "invalid_state", SYN_SENT),
        ((0, FA, A + 1, B), "invalid_state", SYN_SENT),
        ((0, SA, A, B), "invalid_state", SYN_SENT),
        ((1, FA, B, A + 1), "invalid_state", SYN_SENT),
        ((1, SA, B, A + 2), "out_of_window", SYN_SENT),
        ((1, SA, B, A + 1), "forward", SYN_RECV),
        ((1, SYN, B), "invalid_state", SYN_RECV),
        ((0, ACK, A + 1, B + 2), "out_of_window", SYN_RECV),
        ((0, ACK, A + 1, B + 1), "forward", ESTABLISHED),
        ((1, SYN, B), "invalid_state", ESTABLISHED),
        ((0, SA, A, B + 1), "invalid_state", ESTABLISHED),
        ((0, 0, A + 1), "invalid_flags", ESTABLISHED),
        ((0, FIN, A + 1), "invalid_flags", ESTABLISHED),
        ((0, SYN | FIN, A + 1), "invalid_flags", ESTABLISHED),
        ((0, FIN | PSH | URG, A + 1), "invalid_flags", ESTABLISHED),
        ((0, SYN | RST, A + 1), "invalid_flags", ESTABLISHED),
    ],
    "numbers wrap": [
        ((0, SYN, 2**32 - 1), "forward", SYN_SENT),
        ((1, SA, 2**32 - 2, 0), "forward", SYN_RECV),
        ((0, ACK, 0, 2**32 - 1), "forward", ESTABLISHED),
        ((1, ACK, 2**32 - 1, 0, 1000), "forward", ESTABLISHED),
        ((0, FA, 0, 999), "forward", FIN_WAIT),
    ],
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name: str) -> None:
    play = Play()
    for number, (segment, verdict, state) in enumerate(SCRIPTS[name]):
        assert (play.tcp(*segment), play.record.state) == (verdict, state), f"step {number}"


def test_far_segments_and_acknowledgements_are_out_of_window() -> None:
    play = opened()
    assert play.tcp(0, ACK, A + FAR, B + 1, 100) == "out_of_window"
    assert play.tcp(0, ACK, A + 1, B + FAR, 100) == "out_of_window"
    assert play.tcp(1, ACK, B + FAR, A + 1, 100) == "out_of_window"
    assert play.commits == 3


def test_window_scaling_needs_both_sides() -> None:
    play = Play()
    play.tcp(0, SYN, A, window_scale=14)
    play.tcp(1, SA, B, A + 1)
    play.tcp(0, ACK, A + 1, B + 1)
    limit = play.record.limit[1]
    assert limit == B + 1 + 65535
    scaled = opened()
    assert scaled.record.limit[1] == B + 1 + (512 << 7)


def test_reset_with_the_expected_number_closes() -> None:
    play = opened()
    assert play.tcp(0, RST, A + 1) == "forward"
    assert (play.record.state, play.lifetime) == (CLOSE, 10_000)


def test_doubtful_reset_shortens_the_flow_and_traffic_revives_it() -> None:
    play = opened()
    assert play.tcp(0, RST, A + 500) == "forward"
    assert (play.record.state, play.record.flags & DOUBTED, play.lifetime) == (ESTABLISHED, DOUBTED, 10_000)
    commits = play.commits
    for i in range(20):  # the dead end answers each packet in flight: not a commit for each
        assert play.tcp(1, ACK, B + 1 + 100 * i, A + 1, 100) == "forward"
        assert play.tcp(0, RST, A + 500) == "forward"
    assert play.commits == commits + 1
    assert (play.record.flags & (DOUBTED | REVIVED), play.lifetime) == (REVIVED, 300_000)
    play.now += 10_000
    assert play.tcp(1, ACK, B + 3001, A + 1, 100) == "forward"
    assert (play.record.flags & (DOUBTED | REVIVED), play.lifetime) == (0, 432_000_000)
    assert play.commits == commits + 2


def test_doubted_flow_without_traffic_is_forgotten() -> None:
    play = opened()
    play.tcp(1, RST, B + 500)
    play.now += 10_000
    assert play.tcp(0, ACK, A + 1, B + 1) == "no_flow"


def test_reset_outside_of_the_window_is_refused_while_the_flow_is_open() -> None:
    play = opened()
    assert play.tcp(0, RST, A + FAR) == "out_of_window"
    assert play.tcp(0, RST, A - 400_000) == "out_of_window"
    assert play.tcp(1, RA, B + 1, A + FAR) == "out_of_window"
    play.tcp(0, FA, A + 1, B + 1, window=512)
    before = play.row.copy()
    assert play.tcp(0, RST, A + FAR) == "forward"  # the tuple may be in use again
    assert play.row.tobytes() == before.tobytes()


def test_record_is_small_and_packed() -> None:
    assert Firewall.record.itemsize + 17 <= 64


def test_data_and_acknowledgements_cost_no_commit() -> None:
    play = opened()
    for i in range(100):
        assert play.tcp(0, ACK | PSH, A + 1 + 1000 * i, B + 1 + 1000 * i, 1000, window=512) == "forward"
        assert play.tcp(1, ACK, B + 1 + 1000 * i, A + 1001 + 1000 * i, 1000, window=512) == "forward"
    assert play.commits == 3
    play.tcp(0, FA, A + 100_001, B + 100_001, window=512)
    play.tcp(1, ACK, B + 100_001, A + 100_002, window=512)
    play.tcp(1, FA, B + 100_001, A + 100_002, window=512)
    play.tcp(0, ACK, A + 100_002, B + 100_002, window=512)
    assert (play.record.state, play.commits) == (TIME_WAIT, 6)


def rules(*listed: dict[str, Any], **more: Any) -> Firewall.Config:
    return Firewall.Config.model_validate({"rules": list(listed), **more})


def test_rules_decide_who_may_open() -> None:
    outbound = rules({"action": "allow", "direction": "outbound", "protocol": "tcp", "destination_ports": ["443"]})
    assert opened(outbound).record.rule == 0
    assert Play(outbound).tcp(1, SYN, B) == "default_denied"
    assert Play(outbound).udp(0) == "default_denied"
    assert Play(rules({"action": "deny"}, {"action": "allow"})).tcp(0, SYN, A) == "rule_denied"
    by_default = Play(rules(default="allow"))
    assert by_default.tcp(0, SYN, A) == "forward"
    assert by_default.record.rule == NO_RULE


def test_effects_of_rules() -> None:
    play = Play(rules({"action": "deny", "protocol": "udp", "log": True}, {"action": "reject"}))
    assert (play.udp(0), play.effects) == ("rule_denied", [(COUNT, 0), (EVENT, 1 << 16)])
    assert (play.tcp(0, SYN, A), play.effects) == ("rule_denied", [(COUNT, 1), (REJECT, 0)])
    assert (play.tcp(0, ACK, A), play.effects) == ("no_flow", [])
    play = Play(rules(default="reject"))
    assert (play.udp(0), play.effects) == ("default_denied", [(REJECT, 0)])
    play = Play(rules({"action": "allow", "log": True}))
    assert (play.udp(0), play.effects) == ("forward", [(COUNT, 0), (EVENT, 0)])
    assert (play.udp(1), play.effects) == ("forward", [])


def test_new_rules_leave_flows_alone_and_get_a_version() -> None:
    play = opened()
    version = play.record.version
    play.tables = Play(rules()).tables
    assert play.tcp(0, ACK, A + 1, B + 1) == "forward"
    assert (play.record.version, play.tables.settings[0].version != version) == (version, True)
    play.tcp(0, RST, A + 1)
    assert play.tcp(0, SYN, A + FAR) == "default_denied"


def test_udp_times_out_sooner_while_it_is_no_stream() -> None:
    play = Play()
    assert play.udp(0) == "forward"
    play.now += 1999
    assert play.udp(1) == "forward"
    assert (play.record.state, play.lifetime, play.commits) == (UNREPLIED, 30_000, 1)  # a DNS query: one commit
    play.now += 1
    assert play.udp(0) == "forward"
    assert play.record.state == UNREPLIED
    assert play.udp(1) == "forward"
    assert (play.record.state, play.lifetime, play.commits) == (STREAM, 120_000, 2)
    play.now += 120_000
    play.tables = Play(rules()).tables
    assert play.udp(1) == "default_denied"


def test_icmp_queries() -> None:
    play = Play()
    assert play.icmp(0, 0) == "no_flow"
    assert play.icmp(0, 8) == "forward"
    assert play.icmp(0, 8) == "forward"
    assert play.icmp(1, 0) == "forward"
    assert (play.commits, play.lifetime) == (1, 30_000)
    assert play.icmp(0, 0) == "not_asked"
    assert play.icmp(1, 14) == "not_asked"
    play.tables = Play(rules()).tables
    assert play.icmp(1, 8) == "default_denied"  # its own question needs its own permission
    play.tables = Play().tables
    assert play.icmp(1, 8) == "forward"
    assert play.icmp(0, 0) == "forward"


@pytest.mark.parametrize("kind", [ICMP_ERROR, FRAGMENT])
def test_errors_and_later_fragments_need_a_live_flow_and_never_change_it(kind: int) -> None:
    play = Play()
    assert play.run(play.packet(0, protocol=TCP, kind=kind)) == "no_flow"
    assert play.run(play.packet(0, protocol=UDP, kind=kind)) == "no_flow"
    play = opened()
    for side in (0, 1):
        assert play.run(play.packet(side, protocol=TCP, kind=kind, tcp_flags=RST, sequence=A + 1)) == "forward"
    assert play.commits == 3
    refused = Play()
    refused.tcp(0, SYN, A)
    refused.tcp(1, RA, 0, A + 1)
    assert refused.run(refused.packet(1, protocol=TCP, kind=kind)) == "no_flow"


def test_other_protocols_live_by_time() -> None:
    play = Play()
    assert play.run(play.packet(0, protocol=SCTP)) == "forward"
    assert play.run(play.packet(1, protocol=SCTP)) == "forward"
    assert (play.commits, play.lifetime) == (1, 600_000)


def test_timeouts_are_configurable() -> None:
    play = opened(allow_all(timeouts={"tcp_established_s": 5, "tcp_close_s": 2, "tcp_unacknowledged_s": 3}))
    assert play.lifetime == 5000
    play.tcp(0, RST, A + 500)
    assert play.lifetime == 2000
    play.tcp(0, ACK, A + 1, B + 1)
    assert play.lifetime == 3000
