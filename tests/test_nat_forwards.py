"""Static port forwards of the NAT, and hairpin sessions (RFC 4787 REQ-9)."""

import pytest

from nat_play import HOST, ONE, OTHER, RESOLVER, SERVER, WEB, Play, config, ends
from statelessnf.functions.nat_sessions import LASTING
from statelessnf.packet import (
    ACK,
    ICMP_ERROR,
    INBOUND,
    OUTBOUND,
    SYN,
    TCP,
    UDP,
)

pytestmark = pytest.mark.beside

SA = SYN | ACK


@pytest.mark.parametrize("filtering", ["address-and-port", "address", "endpoint-independent"])
def test_forward_opens_from_outside(filtering: str) -> None:
    play = Play(config(forwards=[WEB], filtering=filtering))
    web, inner, client = ("203.0.113.1", 80), ("10.0.0.80", 8080), ("198.51.100.7", 5555)
    assert play.back(TCP, client, web, tcp_flags=ACK) == "no_mapping"
    assert play.back(TCP, client, web, tcp_flags=SYN) == inner
    assert play.out(TCP, inner, client, tcp_flags=SA) == web
    assert play.record(TCP, inner, client)["state"] == LASTING
    assert play.back(UDP, client, web) == "no_mapping"
    assert play.back(TCP, client, ("203.0.113.2", 80), tcp_flags=SYN) == "no_mapping"


def test_forward_of_a_range() -> None:
    ports = {"protocol": "udp", "external": "203.0.113.2", "ports": "5000-5009", "inner": "10.0.0.9", "inner_port": 100}
    play = Play(config(forwards=[ports]))
    for i in range(10):
        assert play.back(UDP, SERVER, ("203.0.113.2", 5000 + i)) == ("10.0.0.9", 100 + i)
        assert play.out(UDP, ("10.0.0.9", 100 + i), RESOLVER) == ("203.0.113.2", 5000 + i)
    for outside in (4999, 5010):
        assert play.back(UDP, SERVER, ("203.0.113.2", outside)) == "no_mapping"


def test_nobody_else_is_given_a_forwarded_port() -> None:
    ports = {"protocol": "udp", "external": "203.0.113.1", "ports": "2000-2031", "inner": "10.0.0.9"}
    play = Play(config(pool=[{"addresses": "203.0.113.1", "ports": "2000-2063"}], forwards=[ports]))
    given = [play.out(UDP, ("10.0.3.1", 2000 + i))[1] for i in range(32)]
    assert sorted(given) == list(range(2032, 2064))
    assert play.send(OUTBOUND, UDP, ("10.0.3.1", 2032), SERVER).done == "no_port_left"
    assert play.out(UDP, ("10.0.0.9", 2000)) == ("203.0.113.1", 2000)


def test_forward_does_not_disturb_a_session_that_was_there_before() -> None:
    """A new forward leads to an endpoint that speaks to the same peer under another mapping: that one stays."""
    play, inner = Play(config(pool=[{"addresses": "203.0.113.1-203.0.113.3"}])), ("10.0.0.80", 8080)
    outer = play.out(UDP, inner)
    forward = {**WEB, "protocol": "udp"}
    play.use(config(pool=[{"addresses": "203.0.113.1-203.0.113.3"}], forwards=[forward]))
    late = play.send(INBOUND, UDP, SERVER, ("203.0.113.1", 80))
    assert (late.done, late.sent["effect_count"]) == ("no_port_left", 0)  # nobody outside is answered
    assert play.back(UDP, SERVER, outer) == inner
    assert play.back(UDP, RESOLVER, ("203.0.113.1", 80)) == inner


def test_forged_inside_source_does_not_reach_a_forward() -> None:
    play = Play(config(forwards=[WEB]))
    assert play.back(TCP, ("10.0.0.7", 5), ("203.0.113.1", 80), tcp_flags=SYN) == "not_translated"


def test_hairpin_through_a_forward() -> None:
    """RFC 4787 REQ-9: both inner hosts see external addresses only; one session has both ends."""
    play = Play(config(pool=ONE, forwards=[WEB]))
    web, inner = ("203.0.113.1", 80), ("10.0.0.80", 8080)
    asked = play.send(OUTBOUND, TCP, HOST, web, tcp_flags=SYN)
    outer, there = ends(asked.sent)
    assert (asked.done, there) == ("forward", inner)
    assert outer[0] == "203.0.113.1"
    answer = play.send(OUTBOUND, TCP, inner, outer, tcp_flags=SA)
    assert (answer.done, ends(answer.sent)) == ("forward", (web, HOST))
    assert play.record(TCP, HOST, web)["state"] == LASTING
    of_answer = play.send(OUTBOUND, TCP, web, HOST, kind=ICMP_ERROR)
    assert (of_answer.done, ends(of_answer.sent)) == ("forward", (inner, outer))
    of_question = play.send(OUTBOUND, TCP, outer, inner, kind=ICMP_ERROR)
    assert (of_question.done, ends(of_question.sent)) == ("forward", (HOST, web))
    play.use(config(pool=ONE))
    assert play.send(OUTBOUND, TCP, HOST, web, tcp_flags=ACK).done == "not_translated"


def test_hairpin_to_oneself_or_to_nobody() -> None:
    play = Play(config(forwards=[WEB]))
    assert play.send(OUTBOUND, TCP, ("10.0.0.80", 8080), ("203.0.113.1", 80), tcp_flags=SYN).done == "not_translated"
    outer = play.out(UDP, OTHER)
    assert play.send(OUTBOUND, UDP, HOST, outer).done == "no_mapping"


@pytest.mark.parametrize("filtering", ["address", "endpoint-independent"])
def test_hairpin_between_any_two(filtering: str) -> None:
    """The packet leaves, and comes in again as received outside: so the engine does with packets to own addresses."""
    play, other = Play(config(pool=ONE, filtering=filtering)), ("10.0.0.2", 41000)
    here, there = play.out(UDP, HOST, RESOLVER), play.out(UDP, other, RESOLVER)
    if filtering == "address":  # lets only those in whom it has spoken to
        assert play.back(UDP, here, there) == "no_mapping"
        assert play.out(UDP, other, here) == there
    leaving = play.send(OUTBOUND, UDP, HOST, there)
    assert ends(leaving.sent) == (here, there)
    assert play.back(UDP, here, there) == other
