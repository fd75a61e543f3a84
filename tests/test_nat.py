"""The NAT's mappings against RFC 4787 (UDP; RFC 5382 says the same of TCP), RFC 7857 and RFC 6888."""

from itertools import pairwise
from typing import Any

import pytest

from nat_play import HOST, ONE, OTHER, RESOLVER, SERVER, WEB, Play, config, ends, packet
from statelessnf.events import event_document
from statelessnf.functions.nat import Nat
from statelessnf.functions.nat_pool import MAX_ATTEMPTS
from statelessnf.packet import (
    ACK,
    EVENT,
    ICMP,
    ICMP_ERROR,
    INBOUND,
    OUTBOUND,
    REJECT,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
)

pytestmark = pytest.mark.beside

SA = SYN | ACK
IPV6: dict[str, Any] = {"pool": [{"addresses": "2001:db8:1::8-2001:db8:1::b"}], "subscribers": ["fd00::/64"]}


@pytest.mark.parametrize("protocol", [UDP, TCP])
def test_both_directions_are_translated(protocol: int) -> None:
    play = Play()
    outer = play.out(protocol, HOST)
    assert outer[0] in ("203.0.113.1", "203.0.113.2")
    assert play.back(protocol, SERVER, outer, tcp_flags=SA) == HOST
    assert play.out(protocol, HOST) == outer


def test_ipv6() -> None:
    """A network too large to be counted is spread by a hash."""
    play, used = Play(config(**IPV6)), list[str]()
    for i in range(64):
        inner = (f"fd00::{i + 1:x}:0:0:1", 5000)
        outer = play.out(UDP, inner, ("2001:db8:2::1", 53))
        assert play.back(UDP, ("2001:db8:2::1", 53), outer) == inner
        used.append(outer[0])
    assert all(used.count(f"2001:db8:1::{last}") > 6 for last in "89ab")


def test_mapping_is_endpoint_independent() -> None:
    """RFC 4787 REQ-1, RFC 5382 REQ-1."""
    play = Play()
    for protocol in (UDP, TCP):
        assert len({play.out(protocol, HOST, (f"198.51.100.{i}", 1000 + i)) for i in range(50)}) == 1


def test_mapping_is_endpoint_independent_with_random_ports() -> None:
    play = Play(config(ports="random"))
    assert len({play.out(UDP, HOST, (f"198.51.100.{i}", 1000 + i)) for i in range(50)}) == 1
    ports = [play.out(UDP, ("10.0.0.1", port))[1] for port in range(40000, 40050)]
    assert len(set(ports)) == 50
    assert sum(abs(one - other) < 100 for one, other in pairwise(ports)) < 5, "ports follow one another"


def test_address_pooling_is_paired() -> None:
    """RFC 4787 REQ-2; and all addresses of the pool are used alike."""
    play = Play(config(pool=[{"addresses": ["203.0.113.1-203.0.113.3", "203.0.113.9"]}]))
    used: list[str] = []
    for host in range(1, 41):
        source = f"10.0.0.{host}"
        found = {play.out(p, (source, port))[0] for p in (UDP, TCP, ICMP) for port in (7, 5000, 60001)}
        assert len(found) == 1
        used += found
    assert {address: used.count(address) for address in used} == dict.fromkeys(
        ("203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.9"), 10
    )


@pytest.mark.parametrize("port", [1, 53, 1023, 1024, 40000, 65535])
def test_port_is_preserved(port: int) -> None:
    assert Play().out(UDP, ("10.0.0.1", port))[1] == port


@pytest.mark.parametrize("ports", ["preserve", "random"])
@pytest.mark.parametrize("inner", [0, 53, 1023, 1024, 5001, 65535])
def test_class_and_parity_of_ports(ports: str, inner: int) -> None:
    """RFC 4787 REQ-3a and REQ-4, when the first candidate is taken as well."""
    play = Play(config(pool=ONE, ports=ports))
    found = [play.out(UDP, (f"10.0.0.{host}", inner))[1] for host in range(1, 31)]
    assert len(set(found)) == 30
    assert {port % 2 for port in found} == {inner % 2}
    assert {port < 1024 for port in found} == {inner < 1024}
    assert 0 not in found


def test_without_ports_of_the_class_or_parity_others_are_used() -> None:
    play = Play(config(pool=[{"addresses": "203.0.113.1", "ports": "5000"}]))
    assert play.out(UDP, ("10.0.0.1", 53)) == ("203.0.113.1", 5000)


def test_outer_port_serves_other_remote_endpoints_too() -> None:
    """What is shared is never the whole mapping: the answers are told apart by who answers."""
    play = Play(config(pool=ONE))
    assert play.out(UDP, HOST, RESOLVER) == play.out(UDP, OTHER, SERVER) == ("203.0.113.1", 40000)
    assert play.back(UDP, RESOLVER, ("203.0.113.1", 40000)) == HOST
    assert play.back(UDP, SERVER, ("203.0.113.1", 40000)) == OTHER


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_small_pool_is_used_to_the_last_port(count: int) -> None:
    """Then the packet is dropped, and those who have a port keep it (RFC 4787 REQ-3: never shared)."""
    play = Play(config(pool=[{"addresses": "203.0.113.1", "ports": f"2000-{1999 + count}"}]))
    hosts = [(f"10.0.{i}.9", 3000 + i) for i in range(count)]
    outer = [play.out(UDP, host) for host in hosts]
    assert sorted(port for _, port in outer) == list(range(2000, 2000 + count))
    late = play.send(OUTBOUND, UDP, ("10.0.200.1", 3000), SERVER)
    assert late.done == "no_port_left"
    assert late.attempts <= MAX_ATTEMPTS + 1
    assert late.sent["effects"][: late.sent["effect_count"]].tolist() == [REJECT << 24 | 1]  # RFC 5508 REQ-8
    assert [play.back(UDP, SERVER, one) for one in outer] == hosts
    play.now += 300_000
    assert play.out(UDP, ("10.0.200.1", 3000))[1] in range(2000, 2000 + count)


def test_nearly_full_pool() -> None:
    """Of 400 ports towards one endpoint all that are tried before 85 % are taken, and nearly all up to 95 %."""
    play = Play(config(pool=[{"addresses": "203.0.113.1", "ports": "10000-10399"}]))
    done = [play.send(OUTBOUND, UDP, (f"10.0.{i % 200}.1", 20000 + i), SERVER).done for i in range(380)]
    assert done[:340].count("forward") == 340
    assert done[340:].count("forward") > 35


def test_quota_of_a_subscriber() -> None:
    """RFC 6888 REQ-4 without counters: each subscriber has its own ports, known without a log (RFC 7422)."""
    play = Play(config(pool=ONE, subscribers=["10.0.0.0/24"], ports_per_subscriber=64))
    taken: dict[int, str] = {}
    for host in ("10.0.0.0", "10.0.0.1", "10.0.0.255"):
        done = [play.send(OUTBOUND, UDP, (host, 30000 + i), SERVER) for i in range(70)]
        assert [one.done for one in done] == ["forward"] * 64 + ["no_port_left"] * 6
        ports = {ends(one.sent)[0][1] for one in done[:64]}
        assert max(ports) - min(ports) == 63
        assert not taken.keys() & ports
        taken |= dict.fromkeys(ports, host)


def test_inbound_without_mapping_is_dropped_silently() -> None:
    """RFC 4787 REQ-8; RFC 5382 REQ-4: an unsolicited SYN is answered by nothing."""
    play = Play()
    for protocol, flags in ((UDP, 0), (TCP, SYN), (TCP, ACK), (TCP, RST)):
        passage = play.send(INBOUND, protocol, SERVER, ("203.0.113.1", 40000), tcp_flags=flags)
        assert (passage.done, passage.sent["effect_count"]) == ("no_mapping", 0)


@pytest.mark.parametrize(
    ("filtering", "other_port", "other_host"),
    [("address-and-port", "no_mapping", "no_mapping"), ("address", HOST, "no_mapping"),
     ("endpoint-independent", HOST, HOST)],
)  # fmt: skip
def test_filtering(filtering: str, other_port: Any, other_host: Any) -> None:
    """RFC 4787 REQ-8: who else may answer is what the keys leave open."""
    play = Play(config(filtering=filtering))
    outer = play.out(UDP, HOST)
    assert play.back(UDP, SERVER, outer) == HOST
    assert play.back(UDP, (SERVER[0], 1), outer) == other_port
    assert play.back(UDP, ("198.51.100.99", SERVER[1]), outer) == other_host


def test_endpoint_independent_mapping_is_strict_with_endpoint_independent_filtering() -> None:
    """Also where the first candidate is taken, and an outer port belongs to one inner endpoint (RFC 4787 REQ-3)."""
    play = Play(config(pool=ONE, filtering="endpoint-independent"))
    assert play.out(UDP, OTHER, SERVER) == ("203.0.113.1", 40000)
    outer = {play.out(UDP, HOST, (f"198.51.100.{i}", 53)) for i in range(20)}
    assert len(outer) == 1
    assert ("203.0.113.1", 40000) not in outer


def test_packets_on_the_wrong_side_do_not_pass() -> None:
    """The tuple of a mapping's other key, seen on the wrong port: it must not get around the translation."""
    play = Play()
    outer = play.out(UDP, HOST)
    assert play.back(UDP, SERVER, HOST) == "not_translated"
    assert play.send(OUTBOUND, UDP, outer, SERVER).done == "not_translated"
    assert play.send(OUTBOUND, UDP, SERVER, outer).done == "not_translated"
    assert play.back(UDP, HOST, SERVER) == "not_translated"
    assert play.send(INBOUND, UDP, SERVER, HOST, kind=ICMP_ERROR).done == "not_translated"
    assert play.send(OUTBOUND, UDP, outer, SERVER, kind=ICMP_ERROR).done == "not_translated"


def test_sources_that_are_no_subscribers_are_not_translated() -> None:
    play = Play()
    for source in ("192.0.2.1", "10.1.0.1", "203.0.113.1"):
        assert play.send(OUTBOUND, UDP, (source, 5000), SERVER).done == "not_translated"
    assert play.send(OUTBOUND, UDP, HOST, OTHER).done == "not_translated"
    assert play.send(OUTBOUND, UDP, ("fd00::1", 5000), ("2001:db8::1", 53)).done == "not_translated"
    play = Play(config(pool=[*ONE, {"addresses": "2001:db8:1::1"}], subscribers=["10.0.0.0/16", "fd00::/64"]))
    assert play.send(OUTBOUND, UDP, ("fd00::1", 5000), ("2001:db8::1", 53)).done == "forward"
    assert play.send(OUTBOUND, UDP, ("::ffff:10.0.0.1", 5000), ("2001:db8::1", 53)).done == "not_translated"


def test_protocols_without_ports_are_not_translated() -> None:
    for protocol in (47, 50, SCTP):
        assert Play().send(OUTBOUND, protocol, HOST, SERVER).done == "protocol_not_translated"


def test_segment_size_is_clamped() -> None:
    """The MSS that fits the path: RFC 6691; a smaller one stays, and none is made up."""
    play = Play(config(outside_mtu=1400))
    for offered, left in ((1460, 1360), (1360, 1360), (536, 536), (0, 0)):
        assert play.send(OUTBOUND, TCP, HOST, SERVER, tcp_flags=SYN, mss=offered).sent["mss"] == left
    answer = play.send(INBOUND, TCP, SERVER, play.out(TCP, HOST), tcp_flags=SA, mss=1460)
    assert answer.sent["mss"] == 1360
    assert Play().send(OUTBOUND, TCP, HOST, SERVER, tcp_flags=SYN, mss=1460).sent["mss"] == 1460
    ipv6 = Play(config(**IPV6, outside_mtu=600))  # IPv6 has no path below 1280 (RFC 8200 §5)
    assert ipv6.send(OUTBOUND, TCP, ("fd00::1", 1), ("2001:db8:2::1", 2), tcp_flags=SYN, mss=1440).sent["mss"] == 1220


def test_mapping_is_logged_once() -> None:
    """What RFC 6888 REQ-12 wants: who, as whom, when, by which protocol."""
    play = Play(config(log=True))
    passage = play.send(OUTBOUND, UDP, HOST, SERVER, now=play.now)
    effect = int(passage.sent["effects"][0])
    assert (passage.sent["effect_count"], effect >> 24) == (1, EVENT)
    record = play.record(UDP, HOST)
    document = event_document(passage.received.tobytes(), effect >> 16 & 255, effect & 0xFFFF, Nat, record.tobytes())
    assert document["event"] == "mapping_created"
    assert document["inner"] == "10.0.0.1:40000"
    assert document["outer"] == f"{ends(passage.sent)[0][0]}:40000"
    assert (document["protocol"], document["time"]) == ("udp", "2023-11-14T22:13:20.000+00:00")
    assert play.send(OUTBOUND, UDP, HOST, SERVER).sent["effect_count"] == 0
    assert Play().send(OUTBOUND, UDP, HOST, SERVER).sent["effect_count"] == 0


def test_reload_keeps_mappings() -> None:
    """Sessions keep the address they have; a change beside the pool leaves candidates alone."""
    play = Play(config(ports="random"))
    outer = play.out(UDP, HOST)
    play.use(config(ports="random", log=True, forwards=[WEB]))
    assert play.out(UDP, HOST, RESOLVER) == outer
    play.use(config(pool=[{"addresses": "203.0.113.99"}]))
    assert play.out(UDP, HOST) == outer
    assert play.back(UDP, SERVER, outer) == HOST


def test_candidates_do_not_hang_on_the_remote_endpoint() -> None:
    play = Play(config(ports="random"))
    for attempt in range(5):
        left = set()
        for i in range(10):
            sent = packet(OUTBOUND, UDP, HOST, ("198.51.100.7", i), attempt=attempt, flow_hash=i << 40)
            fresh = Play(play.config)
            passage = fresh.start(sent)
            passage._attempt = attempt
            passage.step()
            left.add(ends(passage.sent)[0])
        assert len(left) == 1
