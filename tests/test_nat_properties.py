"""Properties of the NAT on random traffic: no shared mapping whatever instances race, idempotent, both forms agree."""

from ipaddress import ip_network
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forms import assert_forms_agree, assert_idempotent, compare
from nat_play import Endpoint, Passage, Play, config, endpoint, ends, key_of, packet
from statelessnf.builder import build
from statelessnf.function import run_plain, table_arrays
from statelessnf.functions.nat import Nat
from statelessnf.functions.nat_pool import MAX_ATTEMPTS
from statelessnf.functions.nat_sessions import NONE
from statelessnf.packet import (
    ACK,
    FIN,
    FORWARD,
    FRAGMENT,
    ICMP,
    ICMP_ERROR,
    ICMPV6,
    INBOUND,
    ORDINARY,
    OUTBOUND,
    PACKET,
    RST,
    SYN,
    TCP,
    UDP,
)

pytestmark = pytest.mark.beside

WEB = {"protocol": "tcp", "external": "203.0.113.1", "ports": "80-81", "inner": "10.0.0.80", "inner_port": 8080}
SMALL = {"pool": [{"addresses": "203.0.113.1", "ports": "5000-5005"}], "forwards": [{**WEB, "ports": "5001"}]}
FILTERING = ("address-and-port", "address", "endpoint-independent")
INNER: list[Endpoint] = [(f"10.0.0.{host}", port) for host in (1, 2, 3, 80) for port in (5000, 5001, 8080)]
REMOTE: list[Endpoint] = [("198.51.100.1", 53), ("198.51.100.1", 80), ("198.51.100.2", 53)]
OUTER: list[Endpoint] = [("203.0.113.1", port) for port in (80, *range(5000, 5006))]

_flags = st.sampled_from([SYN, SYN, SYN | ACK, ACK, FIN | ACK, RST, 0])
_fields = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([ORDINARY] * 6 + [ICMP_ERROR, FRAGMENT]),
        "tcp_flags": _flags,
        "icmp_type": st.sampled_from([8, 8, 0, 13, 3]),
        "mss": st.sampled_from([0, 536, 1460]),
    }
)
_protocols = st.sampled_from([UDP, UDP, TCP, TCP, ICMP])


@st.composite
def _packets(draw: st.DrawFn) -> Any:
    """From inside to anywhere, from outside to the pool, now and then along a path that none should take."""
    direction, protocol = draw(st.sampled_from([OUTBOUND, OUTBOUND, INBOUND])), draw(_protocols)
    outward = st.sampled_from(INNER), st.sampled_from(REMOTE * 3 + OUTER)
    inward = st.sampled_from(REMOTE * 3 + INNER), st.sampled_from(OUTER + INNER[:2])
    source, destination = (draw(end) for end in (outward if direction == OUTBOUND else inward))
    fields = draw(_fields)
    if fields["kind"] == ICMP_ERROR:
        source, destination = destination, source
    if protocol == ICMP:
        source, destination = (source[0], 5000 + source[1] % 3), (destination[0], 5000 + source[1] % 3)
    return packet(direction, protocol, source, destination, **fields)


_play = st.builds(
    lambda filtering, ports: Play(config(**SMALL, filtering=filtering, ports=ports)),
    st.sampled_from(FILTERING),
    st.sampled_from(["preserve", "random"]),
)


class _Watch:
    """Checks what leaves against who has it: a mapping belongs to one inner endpoint for as long as it lives."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.last: dict[Any, Any] = {}  # by outer key: the packet that was given it last, as received

    def pairs_are_whole(self) -> None:
        """Both keys of each flow that lives are there, and hold one record."""
        keys: dict[int, list[Any]] = {}
        for key, stored in self.play.store.items():
            if stored.deadline > self.play.now:
                keys.setdefault(id(stored), []).append(key)
        assert all(len(pair) == 2 for pair in keys.values()), keys

    def left(self, passage: Passage) -> None:
        sent, received = passage.sent, passage.received
        if passage.done != "forward" or sent["direction"] != OUTBOUND or sent["kind"] == ICMP_ERROR:
            return
        outer_key = key_of(sent, self.play.config.filtering)
        before = self.last.get(outer_key)
        if before is not None and ends(before)[0] != ends(received)[0]:
            assert not self._has(before, ends(sent)[0]), f"{ends(before)} and {ends(received)} share {ends(sent)}"
        self.last[outer_key] = received

    def _has(self, received: Any, outer: Endpoint) -> bool:
        found = self.play.read(key_of(received, self.play.config.filtering))
        return found is not None and endpoint(np.frombuffer(found, Nat.record)[0], "outer") == outer


@settings(max_examples=300, deadline=None)
@given(
    _play,
    st.lists(st.tuples(_packets(), st.integers(0, 3), st.sampled_from([0, 0, 0, 1000, 70_000, 400_000])), max_size=25),
    st.randoms(use_true_random=False),
)
def test_no_two_inner_endpoints_share_a_mapping(play: Play, arrivals: list[Any], random: Any) -> None:
    """Up to four packets at once, each in an instance of its own, whose requests meet in any order."""
    watch, under_way = _Watch(play), list[Passage]()
    for arrived, at_most, pause in arrivals:
        under_way.append(play.start(arrived))
        while len(under_way) > at_most:
            passage = random.choice(under_way)
            passage.step()
            if passage.done:
                under_way.remove(passage)
                watch.left(passage)
                if passage.done == "forward" and passage.received["kind"] == ORDINARY and random.random() < 0.3:
                    under_way.append(play.start(_follow_ups(passage.received, passage.sent)[0]))
            watch.pairs_are_whole()
        if not under_way:
            play.now += pause  # nobody holds what it has read for longer than a record lives (rule 14)


@settings(max_examples=150, deadline=None)
@given(_play, st.lists(_packets(), max_size=20))
def test_what_has_left_comes_back(play: Play, arrivals: list[Any]) -> None:
    """The answer to each packet that left reaches its sender, and an error about it tells of the packet as sent."""
    for arrived in arrivals:
        passage = play.run(arrived)
        if passage.done != "forward" or arrived["direction"] != OUTBOUND or arrived["kind"] != ORDINARY:
            continue
        source, destination = ends(passage.sent)
        protocol, hairpin = int(arrived["protocol"]), int(destination[0].startswith("10."))
        direction = OUTBOUND if hairpin else INBOUND
        answer = play.send(direction, protocol, destination, source, tcp_flags=ACK, icmp_type=_answer(arrived))
        assert ends(answer.sent) == ends(arrived)[::-1]
        error = play.send(direction, protocol, source, destination, kind=ICMP_ERROR)
        assert ends(error.sent) == ends(arrived)


def _answer(request: Any) -> int:
    return {8: 0, 13: 14, 128: 129}.get(int(request["icmp_type"]), 0)


@settings(max_examples=200, deadline=None)
@given(_play, st.lists(st.tuples(_packets(), st.integers(0, MAX_ATTEMPTS + 1)), max_size=20))
def test_process_is_idempotent(play: Play, arrivals: list[Any]) -> None:
    """A packet whose commit is known to have happened may be run again: same verdict, same rewriting, no commit."""
    for arrived, attempt in arrivals:
        before = play.read(key_of(arrived, play.config.filtering)) or bytes(Nat.record.itemsize)
        first, second = arrived.copy(), arrived.copy()
        first["attempt"] = attempt
        once = run_plain(Nat, first, np.frombuffer(before, Nat.record)[0], play.tables)
        if once.verdict == FORWARD:
            again = run_plain(Nat, second, once.record[0], play.tables)
            assert again.record.tobytes() == once.record.tobytes()
            assert (again.verdict, again.lifetime, ends(second)) == (FORWARD, once.lifetime, ends(first))
            assert second["mss"] == first["mss"]
        else:
            assert once.record.tobytes() == before
        play.run(arrived)


_ranges = st.tuples(st.integers(1, 65535), st.sampled_from([0, 1, 2, 3, 30, 31, 63, 64, 127, 1000, 60000])).map(
    lambda pair: (pair[0], min(pair[0] + pair[1], 65535))
)


@settings(max_examples=60, deadline=None)
@given(_ranges, st.sampled_from(["preserve", "random"]), st.integers(0, 65535), st.integers(0, 65535))
def test_candidates_are_all_different(ports: tuple[int, int], order: str, host: int, port: int) -> None:
    """And of the pool; those of the inner port's parity come first; small ranges are tried whole."""
    play = Play(config(pool=[{"addresses": "203.0.113.1", "ports": "{}-{}".format(*ports)}], ports=order))
    inner, found = (str(ip_network("10.0.0.0/16")[host]), port), list[int]()
    for attempt in range(MAX_ATTEMPTS):
        sent, record = packet(OUTBOUND, UDP, inner, REMOTE[0], attempt=attempt), np.zeros(1, Nat.record)
        outcome = run_plain(Nat, sent, record[0], play.tables)
        assert not outcome.fault
        if outcome.verdict != FORWARD:
            assert outcome.record[0]["state"] == NONE
            break
        found.append(int(sent["source_port"]))
    assert len(set(found)) == len(found)
    assert all(ports[0] <= one <= ports[1] for one in found)
    parities = [one % 2 == port % 2 for one in found]
    assert parities == sorted(parities, reverse=True)
    same_class = [one for one in range(ports[0], ports[1] + 1) if (one < 1024) == (port < 1024)]
    usable = same_class or range(ports[0], ports[1] + 1)
    halves = [sum(one % 2 == parity for one in usable) for parity in (0, 1)]
    assert len(found) == sum(min(half, MAX_ATTEMPTS // 2) for half in halves)
    if order == "preserve" and port in usable:
        assert found[0] == port


def test_forms_agree() -> None:
    assert_forms_agree(Nat, config(**SMALL, log=True, outside_mtu=1400), examples=150)


def test_any_record_makes_process_idempotent() -> None:
    assert_idempotent(Nat, config(**SMALL, log=True, outside_mtu=1400), ("inner", "source"))


_configs = {
    "small": config(**SMALL, log=True, outside_mtu=1400),
    "random": config(pool=[{"addresses": "203.0.113.0/26"}], ports="random", forwards=[WEB]),
    "blocks": config(pool=[{"addresses": ["203.0.113.0/26"]}], ports_per_subscriber=60),
    "ipv6": config(pool=[{"addresses": ["2001:db8:1::ff00-2001:db8:1::ffff"]}],
                   subscribers=["fd00::/8", "10.0.0.0/8", "fe00:0:0:1:8000::/96"]),
}  # fmt: skip


def _follow_ups(received: Any, sent: Any) -> list[Any]:
    """What may come after a packet that has left: its answers, errors about it, and the same on the wrong side."""
    there, here = ends(sent)[::-1], ends(received)
    hairpin = there[0][0].startswith(("10.", "fd")) if received["direction"] == OUTBOUND else False
    back = OUTBOUND if hairpin else INBOUND
    protocol, answer = int(received["protocol"]), {"icmp_type": _answer(received), "mss": 1460}
    made = [packet(back, protocol, there[0], there[1], **answer, tcp_flags=flags) for flags in (SYN | ACK, RST)]
    made.append(packet(back, protocol, there[1], there[0], kind=ICMP_ERROR, icmp_type=3))
    made.append(packet(back, protocol, here[0], here[1]))
    made.append(packet(OUTBOUND, protocol, here[1], here[0], kind=ICMP_ERROR))
    return made


@pytest.mark.parametrize("name", _configs)
def test_forms_agree_on_flows(name: str) -> None:
    """Packets that get somewhere: any bytes at all seldom have an address that is known."""
    chosen = _configs[name]
    built, arrays, passed = build(Nat), table_arrays(Nat, chosen), [0, 0]

    def agree_on(play: Play, sent: Any) -> Passage:
        found = play.read(key_of(sent, chosen.filtering)) or bytes(Nat.record.itemsize)
        compare(Nat, built, np.array([sent], PACKET), np.frombuffer(found, Nat.record), arrays, None)
        unhurried = sent.copy()
        unhurried["attempt"] = 0
        passage = play.run(unhurried)
        passed[int(sent["direction"])] += passage.done == "forward"
        return passage

    @settings(max_examples=120, deadline=None)
    @given(st.lists(st.tuples(_packets(), st.integers(0, MAX_ATTEMPTS), st.integers(0, 2**64 - 1)), max_size=6))
    def agree(arrivals: list[Any]) -> None:
        play = Play(chosen)
        for arrived, attempt, bits in arrivals:
            sent = arrived if name != "ipv6" else _as_ipv6(arrived, bits)
            sent["attempt"] = attempt
            passage = agree_on(play, sent)
            if passage.done == "forward":
                for packet_after in _follow_ups(sent, passage.sent):
                    agree_on(play, packet_after)

    agree()
    assert min(passed) > 5, "packets that are all dropped show nothing"


def _as_ipv6(arrived: Any, bits: int) -> Any:
    """The same packet between IPv6 hosts; the lower halves of inner addresses have any bits, the highest one too."""
    made = arrived.copy()
    made["version"] = 6
    made["protocol"] = ICMPV6 if arrived["protocol"] == ICMP else arrived["protocol"]
    made["icmp_type"] = {8: 128, 0: 129}.get(int(arrived["icmp_type"]), 1)
    for end, (address, _) in zip(("source", "destination"), ends(arrived), strict=True):
        outside = 0x20010DB8 << 32 | (1 if address.startswith("203.") else 2) << 16
        made[f"{end}_high"] = 0xFD00 << 48 | bits % 5 if address.startswith("10.") else outside
        made[f"{end}_low"] = bits if address.startswith("10.") else 0xFF00 | int(arrived[f"{end}_low"]) & 0xFF
    return made
