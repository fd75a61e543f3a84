"""How long mappings live, against RFC 5382 (TCP), RFC 5508 (ICMP) and RFC 7857; errors and fragments."""

import pytest

from nat_play import HOST, SERVER, Endpoint, Play, config, ends
from statelessnf.functions.nat_sessions import CLOSING, DATAGRAMS, LASTING, OPENING
from statelessnf.packet import (
    ACK,
    FIN,
    FRAGMENT,
    ICMP,
    ICMP_ERROR,
    ICMPV6,
    INBOUND,
    OUTBOUND,
    RST,
    SYN,
    TCP,
    UDP,
)

pytestmark = pytest.mark.beside

SA, FA = SYN | ACK, FIN | ACK


def connected(play: Play) -> Endpoint:
    outer = play.out(TCP, HOST)
    assert play.record(TCP, HOST)["state"] == OPENING
    play.back(TCP, SERVER, outer, tcp_flags=SA)
    assert play.record(TCP, HOST)["state"] == LASTING
    return outer


def lives(play: Play, protocol: int, seconds: int, source: Endpoint = HOST) -> bool:
    """The mapping is there just before, and is gone after that time without a packet."""
    play.now += seconds * 1000 - 1
    before = play.record(protocol, source)
    play.now += 1
    return before is not None and play.record(protocol, source) is None


def test_time_outs() -> None:
    """RFC 5382 REQ-5 (4 min, 2 h 4 min), RFC 4787 REQ-5 (5 min), RFC 5508 REQ-2 (60 s)."""
    play = Play()
    play.out(TCP, HOST)
    assert lives(play, TCP, 240)
    connected(play)
    assert lives(play, TCP, 7440)
    play.out(UDP, HOST)
    assert play.record(UDP, HOST)["state"] == DATAGRAMS
    assert lives(play, UDP, 300)
    identifier = ("10.0.0.1", 7)
    play.send(OUTBOUND, ICMP, identifier, (SERVER[0], 7))
    play.now += 59_999
    assert play.send(OUTBOUND, ICMP, identifier, (SERVER[0], 7)).done == "forward"


def test_opening_and_closing_have_time_outs_of_their_own() -> None:
    """RFC 7857 §2.1."""
    play = Play(config(timeouts={"tcp_transitory_s": 300, "tcp_closing_s": 250}))
    play.out(TCP, HOST)
    assert lives(play, TCP, 300)
    outer = connected(play)
    play.back(TCP, SERVER, outer, tcp_flags=RST)
    assert play.record(TCP, HOST)["state"] == CLOSING
    assert lives(play, TCP, 250)


def test_packets_of_either_side_refresh() -> None:
    """RFC 4787 REQ-6: outbound must, inbound may."""
    play = Play()
    outer = play.out(UDP, HOST)
    for _ in range(3):
        play.now += 299_000
        assert play.back(UDP, SERVER, outer) == HOST
        play.now += 299_000
        assert play.out(UDP, HOST) == outer


def test_connection_costs_four_commits() -> None:
    play = Play()
    outer = connected(play)
    for _ in range(10):
        assert play.out(TCP, HOST, tcp_flags=ACK) == outer
        assert play.back(TCP, SERVER, outer, tcp_flags=ACK) == HOST
    play.out(TCP, HOST, tcp_flags=FA)
    assert play.record(TCP, HOST)["state"] == LASTING  # half closed
    assert play.back(TCP, SERVER, outer, tcp_flags=FA) == HOST
    play.out(TCP, HOST, tcp_flags=ACK)
    assert play.commits == 4
    assert lives(play, TCP, 240)


def test_closed_connection_may_be_opened_again() -> None:
    play = Play()
    outer = connected(play)
    play.out(TCP, HOST, tcp_flags=FA)
    play.back(TCP, SERVER, outer, tcp_flags=FA)
    assert connected(play) == outer


def test_simultaneous_open() -> None:
    """RFC 5382 REQ-2a."""
    play = Play()
    outer = play.out(TCP, HOST)
    assert play.back(TCP, SERVER, outer, tcp_flags=SYN) == HOST
    assert play.out(TCP, HOST, tcp_flags=SA) == outer
    assert play.record(TCP, HOST)["state"] == LASTING


def test_reset_ends_a_connection_only_if_its_sender_falls_silent() -> None:
    """RFC 7857 §2.2: four minutes without packets; a forged one changes nothing for long."""
    play = Play()
    outer = connected(play)
    play.back(TCP, SERVER, outer, tcp_flags=RST)
    commits = play.commits
    for _ in range(5):  # what was in flight, each answered by a RST, costs nothing
        assert play.out(TCP, HOST, tcp_flags=ACK) == outer
        assert play.back(TCP, SERVER, outer, tcp_flags=RST) == HOST
    assert play.commits == commits
    assert lives(play, TCP, 240)
    outer = connected(play)
    play.back(TCP, SERVER, outer, tcp_flags=RST)
    play.back(TCP, SERVER, outer, tcp_flags=ACK)
    assert lives(play, TCP, 7440)


def test_refused_connection() -> None:
    play = Play()
    outer = play.out(TCP, HOST)
    assert play.back(TCP, SERVER, outer, tcp_flags=RST | ACK) == HOST
    assert play.commits == 1
    assert connected(play) == outer


def test_only_a_syn_opens_a_connection() -> None:
    for flags in (ACK, SA, FA, RST, SYN | FIN, 0):
        assert Play().send(OUTBOUND, TCP, HOST, SERVER, tcp_flags=flags).done == "not_opening"


@pytest.mark.parametrize(("protocol", "source", "target"), [(ICMP, "10.0.0.1", "198.51.100.7"),
                                                            (ICMPV6, "fd00::1", "2001:db8:2::1")])  # fmt: skip
def test_icmp_queries(protocol: int, source: str, target: str) -> None:
    """RFC 5508 REQ-1: the identifier is the port, and stands in both."""
    pool, inside = [{"addresses": ["203.0.113.1", "2001:db8:1::1"]}], ["10.0.0.0/8", "fd00::/8"]
    play = Play(config(pool=pool, subscribers=inside))
    found = set()
    for host in (source, source[:-1] + "2"):
        request = play.send(OUTBOUND, protocol, (host, 7), (target, 7))
        (outer, identifier), there = ends(request.sent)
        assert there == (target, identifier)
        reply = play.send(INBOUND, protocol, (target, identifier), (outer, identifier))
        assert ends(reply.sent) == ((target, 7), (host, 7))
        found.add(identifier)
    assert len(found) == 2
    asks_back = play.send(INBOUND, protocol, (target, 7), ends(play.send(OUTBOUND, protocol, (source, 7), (target, 7))
        .sent)[0], icmp_type=8 if protocol == ICMP else 128)  # fmt: skip
    assert asks_back.done == "filtered"
    assert play.send(OUTBOUND, ICMP, ("10.0.0.9", 7), (SERVER[0], 7), icmp_type=0).done == "not_opening"


def test_errors_about_what_left() -> None:
    """RFC 5508 REQ-4: an error from anywhere, with the tuple of the packet that it quotes; path MTU depends on it."""
    play = Play()
    outer = connected(play)
    for kind in (3, 11):
        error = play.send(INBOUND, TCP, outer, SERVER, kind=ICMP_ERROR, icmp_type=kind)
        assert (error.done, ends(error.sent)) == ("forward", (HOST, SERVER))
    wrong = play.send(INBOUND, TCP, SERVER, outer, kind=ICMP_ERROR)
    assert wrong.done == "not_translated"


def test_errors_about_what_came_in() -> None:
    """RFC 5508 REQ-5."""
    play = Play()
    outer = play.out(UDP, HOST)
    error = play.send(OUTBOUND, UDP, SERVER, HOST, kind=ICMP_ERROR, icmp_type=3)
    assert (error.done, ends(error.sent)) == ("forward", (SERVER, outer))
    assert play.send(OUTBOUND, UDP, HOST, SERVER, kind=ICMP_ERROR, icmp_type=3).done == "not_translated"


def test_errors_about_queries() -> None:
    play = Play()
    outer = play.out(ICMP, ("10.0.0.1", 7), (SERVER[0], 7))
    error = play.send(INBOUND, ICMP, outer, (SERVER[0], outer[1]), kind=ICMP_ERROR, icmp_type=11)
    assert ends(error.sent) == (("10.0.0.1", 7), (SERVER[0], 7))


def test_errors_neither_open_nor_refresh_nor_change() -> None:
    """RFC 5508 REQ-6."""
    play = Play()
    assert play.send(INBOUND, UDP, ("203.0.113.1", 40000), SERVER, kind=ICMP_ERROR).done == "no_mapping"
    assert play.send(OUTBOUND, UDP, HOST, SERVER, kind=ICMP_ERROR).done == "no_mapping"
    outer = play.out(UDP, HOST)
    play.now += 200_000
    play.send(INBOUND, UDP, outer, SERVER, kind=ICMP_ERROR, icmp_type=3)
    assert play.commits == 1
    assert lives(play, UDP, 100)


def test_later_fragments_follow() -> None:
    play = Play()
    assert play.send(OUTBOUND, UDP, HOST, SERVER, kind=FRAGMENT).done == "no_mapping"
    outer = play.out(UDP, HOST)
    assert ends(play.send(OUTBOUND, UDP, HOST, SERVER, kind=FRAGMENT).sent) == (outer, SERVER)
    assert ends(play.send(INBOUND, UDP, SERVER, outer, kind=FRAGMENT).sent) == (SERVER, HOST)
