"""At random in the large: several real engines over a simulated store, and nothing that one instance would not do.

Hypothesis writes scripts of moves (engine_world.py): packets at any instance, steps, the store's turns, deliveries,
waits, cut connections, crashes, a store without memory. After each script everything is let run out; then the
invariants of the commit protocol must hold: (a) one baseline instance could have done it (engine_oracle.py), (b) what
was acknowledged is in the record that the store ends with, (d) nothing left before its commit was acknowledged,
(e) every packet has an end and a name for it, and none was overtaken in its pipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

import tally_function as tally
from engine_moves import ACTS
from engine_oracle import Explanation, Observed, Outcome, Run
from engine_world import STALE_MS, Journey, Sample, World, Write, key_of, packet_of
from statelessnf.builder import build
from statelessnf.function import Function, plain_tables, run_plain, table_arrays
from statelessnf.functions.firewall import Firewall
from statelessnf.functions.rule_match import LinearRules
from statelessnf.packet import EVENT, FORWARD
from statelessnf.pipe_options import tables_of
from tally_function import Tally

pytestmark = pytest.mark.beside

MOST_PACKETS = 10  # of one flow: the search for an order grows with it
CLIENT, SERVER = "10.0.0.1", "198.18.0.1"

Move = tuple[int, int, int]


class Subject:
    """A network function under test, with its options for the engine and its plain form."""

    def __init__(self, function: type[Function], config: Any, flows: dict[str, list[Sample]]) -> None:
        """`flows`: what can be sent, by flow; the first of each is no fragment."""
        self.function, self.flows = function, flows
        rules = LinearRules(Firewall.rules(config)) if function is Firewall else None
        self._tables = plain_tables(function, table_arrays(function, config), rules)
        made = tables_of(function, config)
        self.options = {"program": str(build(function)), "tables": made.tables, "rules": made.rules}
        self.process = cache(self._process)
        self.nothing = bytes(function.record.itemsize)

    def _process(self, sample: Sample, now: int, record: bytes) -> Run:
        packet = packet_of(sample)
        if sample.fragment:  # the engine has its ports from the first, and its place from them
            whole = packet_of(self.flows[sample.flow][0])
            for name in ("source_port", "destination_port", "protocol", "from_low"):
                packet[name] = whole[name]
        packet["now"] = now
        row = np.frombuffer(record, self.function.record)
        run = run_plain(self.function, packet[0], row[0], self._tables)
        effects = packet["effects"][0][: packet["effect_count"][0]].tolist()
        values = [effect & 0xFFFF for effect in effects if effect >> 24 == EVENT]
        verdict = "forward" if run.verdict == FORWARD else "function_error"
        if run.verdict >> 8:
            verdict = self.function.drop_reasons[(run.verdict >> 8) - 1]
        return Run(Outcome(verdict, values[0] if values else -1), run.record.tobytes(), run.lifetime)


def check(world: World, subject: Subject, stale_us: int) -> None:
    """AssertionError for the first thing that must not be."""
    assert not world.problems, world.problems
    for flow, samples in subject.flows.items():
        journeys = [journey for journey in world.journeys if journey.sample.flow == flow and explained(journey)]
        by_token = {journey.token: journey.sample for journey in journeys}

        def process(packet: Observed, record: bytes, by_token: dict[int, Sample] = by_token) -> Run:
            return subject.process(by_token[packet.token], packet.now, record)

        final = world.record(key_of(samples[0]))
        observed = [journey.observed() for journey in journeys]
        search = Explanation(observed, process, subject.nothing, stale_us, final)
        if not search.exists(world.now_ms):
            story = "\n".join(
                f"{journey.sample.name}: {seen}" for journey, seen in zip(journeys, observed, strict=True)
            )
            raise AssertionError(f"no order explains flow {flow}, which ends with {final!r}\n{story}")


def explained(journey: Journey) -> bool:
    """The function had a say in it: all but fragments whose first one was not known."""
    return journey.verdict != "fragment_without_first"


MOVES = {"send": 6, "round": 4, "step": 3, "calm": 2, "serve": 2, "deliver": 2}  # how often; all others once
KINDS = [kind for kind, often in MOVES.items() for _ in range(often)]
KINDS += ["wait", "cut", "connect", "crash", "memory", "late"]
RANDOM = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
numbers = st.integers(0, 63)
scripts = st.lists(st.tuples(st.integers(0, len(KINDS) - 1), numbers, numbers), min_size=20, max_size=80)


def play(world: World, subject: Subject, script: Sequence[Move], choose: Any) -> None:
    """Carry a script out, then let everything come to an end."""
    sent = dict.fromkeys(subject.flows, 0)
    for kind, where, value in script:
        node = where % len(world.nodes)
        note(f"{KINDS[kind]} {node} {value}")
        if KINDS[kind] != "send":
            ACTS[KINDS[kind]](world, node, value)
            continue
        for again in range(where // 16 % 2 + 1):  # sometimes two at once
            flow = list(subject.flows)[value % len(subject.flows)]
            if sent[flow] < MOST_PACKETS:
                sent[flow] += 1
                world.send(node, choose(flow, value // len(subject.flows) + again))
    world.settle()


def order(flow: int, name: int, what: int, about: int) -> Sample:
    """A packet for `Tally`, from inside or outside."""
    side = name % 2
    ends = (SERVER, CLIENT) if side else (CLIENT, SERVER)
    ports = {"sport": 80, "dport": 1000 + flow} if side else {"sport": 1000 + flow, "dport": 80}
    frame = Ether() / IP(src=ends[0], dst=ends[1]) / TCP(**ports, flags="A", seq=name, ack=about, window=what)
    word = ("count", "ask", "refuse", "fault", "forget")[what]
    return Sample(f"{word} {name} {about}", bytes(frame), side, f"tally {flow}")


order = cache(order)


@cache
def tally_subject() -> Subject:
    flows = {f"tally {flow}": [order(flow, 0, tally.ASK, 0)] for flow in range(2)}
    return Subject(Tally, Tally.Config(), flows)


def tally_release(journey: Journey, known: Sequence[Write]) -> str:
    """Invariant (d): what was counted leaves after its commit has been acknowledged."""
    if journey.report < 0:
        return ""
    name = int(packet_of(journey.sample)["sequence"][0])
    seen = [int(np.frombuffer(write.fields, Tally.record)["seen"][0]) >> name & 1 for write in known]
    return "" if any(seen) else "left before its commit was acknowledged"


ORDERS = (tally.COUNT, *[tally.ASK] * 5, tally.FORGET, tally.COUNT, tally.REFUSE, tally.FAULT)


def warm(world: World) -> None:
    """Flow 0 has a record, and every instance has asked for it often enough to keep it in its cache."""
    asked = [(node, tally.ASK) for node in range(len(world.nodes)) for _ in range(2)]
    for node, what in [(0, tally.COUNT), *asked]:
        world.send(node, order(0, len(world.journeys), what, 0))
        for _ in range(3):
            world.round(node)


def play_tally(mode: str, script: Sequence[Move], nodes: int) -> None:
    """One script with `Tally`, whose events and record tell more than verdicts."""
    subject = tally_subject()
    world = World({**subject.options, "mode": mode}, Tally.drop_reasons, nodes, tally_release)

    def choose(flow: str, value: int) -> Sample:
        name = len(world.journeys)
        what = ORDERS[value % len(ORDERS)]
        earlier = [int(each.sample.name.split()[1]) for each in world.journeys if each.sample.flow == flow]
        back = value // len(ORDERS)
        about = [name, *earlier][-1 - back // 2 % len(earlier or [name])] if back % 2 else [*earlier, name][0]
        return order(list(subject.flows).index(flow), name, what, about)

    warm(world)
    play(world, subject, script, choose)
    for write in world.writes:
        assert np.frombuffer(write.fields, Tally.record)["twice"][0] == 0, "a packet was counted twice"
    check(world, subject, STALE_MS * 1000 if mode == "tracked" else 0)


@pytest.mark.parametrize("mode", ["off", "tracked"])
@RANDOM
@given(script=scripts, nodes=st.integers(2, 3))
def test_counts_are_kept(mode: str, script: list[Move], nodes: int) -> None:
    play_tally(mode, script, nodes)


def firewall_flows() -> dict[str, list[Sample]]:
    """What a TCP connection, a UDP exchange with an error and with fragments, and a ping are made of."""
    out, back = Ether() / IP(src=CLIENT, dst=SERVER), Ether() / IP(src=SERVER, dst=CLIENT)
    up, down = {"sport": 2000, "dport": 443}, {"sport": 443, "dport": 2000}
    tcp: list[tuple[str, Packet, int]] = [
        ("SYN", out / TCP(**up, seq=100, flags="S"), 0),
        ("SYN/ACK", back / TCP(**down, seq=500, ack=101, flags="SA"), 1),
        ("ACK", out / TCP(**up, seq=101, ack=501, flags="A"), 0),
        ("data", out / TCP(**up, seq=101, ack=501, flags="PA") / Raw(b"GET"), 0),
        ("answer", back / TCP(**down, seq=501, ack=104, flags="PA") / Raw(b"200"), 1),
        ("FIN", out / TCP(**up, seq=104, ack=504, flags="FA"), 0),
        ("FIN back", back / TCP(**down, seq=504, ack=105, flags="FA"), 1),
        ("last ACK", out / TCP(**up, seq=105, ack=505, flags="A"), 0),
        ("RST", back / TCP(**down, seq=501, flags="R"), 1),
    ]
    asked = IP(src=CLIENT, dst=SERVER, id=9) / UDP(sport=3000, dport=53) / Raw(b"x" * 8)
    pieces = fragment(IP(src=CLIENT, dst=SERVER, id=77) / UDP(sport=3000, dport=53) / Raw(b"y" * 64), 40)
    udp: list[tuple[str, Packet, int]] = [
        ("query", Ether() / asked, 0),
        ("reply", back / UDP(sport=53, dport=3000) / Raw(b"z"), 1),
        ("error", back / ICMP(type=3, code=3) / asked, 1),
        ("first fragment", Ether() / pieces[0], 0),
        ("later fragment", Ether() / pieces[1], 0),
    ]
    ping: list[tuple[str, Packet, int]] = [
        ("echo", out / ICMP(type=8, id=5) / Raw(b"p"), 0),
        ("echo reply", back / ICMP(type=0, id=5) / Raw(b"p"), 1),
    ]
    flows = {"tcp": tcp, "udp": udp, "ping": ping}
    return {
        flow: [Sample(name, bytes(packet), side, flow, "fragment" in name) for name, packet, side in packets]
        for flow, packets in flows.items()
    }


@cache
def firewall_subject() -> Subject:
    rule = {"action": "allow", "direction": "outbound"}
    return Subject(Firewall, Firewall.Config.model_validate({"rules": [rule]}), firewall_flows())


def play_firewall(mode: str, script: Sequence[Move], nodes: int) -> None:
    """One script with the firewall."""
    subject = firewall_subject()
    world = World({**subject.options, "mode": mode}, Firewall.drop_reasons, nodes, lambda _journey, _known: "")
    play(world, subject, script, lambda flow, value: subject.flows[flow][value % len(subject.flows[flow])])
    check(world, subject, STALE_MS * 1000 if mode == "tracked" else 0)


@pytest.mark.parametrize("mode", ["off", "tracked"])
@RANDOM
@given(script=scripts, nodes=st.integers(2, 3))
def test_the_firewall_is_one_firewall(mode: str, script: list[Move], nodes: int) -> None:
    play_firewall(mode, script, nodes)
