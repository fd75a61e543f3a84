"""The load balancer's decisions: who gets which server, translation both ways, servers that drain or die, the rest."""

from typing import Any

import pytest

from balancer_play import VIRTUAL, Ends, Instance, config, ends_of, handshake, spread_of
from statelessnf.functions.balancer_tables import backends
from statelessnf.functions.connection import ASKED, CLOSED, CLOSING, OPEN, OPENING, STREAM
from statelessnf.packet import ACK, FIN, FRAGMENT, ICMP, ICMP_ERROR, RST, SYN, TCP, UDP

pytestmark = pytest.mark.beside

CLIENT = "198.51.100.7"
A, B, C = "10.0.0.11", "10.0.0.12", "10.0.0.13"
FLOW: Ends = (CLIENT, 40000, VIRTUAL, 80)
FA = FIN | ACK


def state(instance: Instance) -> int:
    """Of the only flow there is."""
    (entry,) = {id(entry): entry for entry in instance.store.entries.values()}.values()
    return int(entry.row["state"][0])


def answer(instance: Instance, flow: Ends = FLOW, port: int | None = None, **fields: Any) -> Ends:
    """The way back of the last packet, from the server."""
    server, out_port = ends_of(instance.sent)[2:]
    return server, port or out_port, flow[0], flow[1]


def test_a_connection_through_nat() -> None:
    one = Instance(config({"address": A, "port": 8080}))
    assert one.take(FLOW) == "forward"
    assert ends_of(one.sent) == (CLIENT, 40000, A, 8080)
    back = (A, 8080, CLIENT, 40000)
    assert one.take(back, tcp_flags=SYN | ACK) == "forward"
    assert ends_of(one.sent) == (VIRTUAL, 80, CLIENT, 40000)
    assert state(one) == OPENING
    for ends, flags, then in (
        (FLOW, ACK, OPEN),
        (back, ACK, OPEN),
        (FLOW, FA, CLOSING),
        (back, ACK, CLOSING),
        (back, FA, CLOSED),
        (FLOW, ACK, CLOSED),
    ):
        assert one.take(ends, tcp_flags=flags) == "forward"
        assert state(one) == then
    assert one.store.commits == 4
    assert not one.sent["direct"]


def test_without_a_port_the_server_gets_the_one_asked_for() -> None:
    one = Instance(config(A))
    assert one.take((CLIENT, 40000, VIRTUAL, 443)) == "forward"
    assert ends_of(one.sent)[2:] == (A, 443)


def test_ipv6() -> None:
    one = Instance(config({"address": "fd00::1", "port": 8080}, address="2001:db8::10"))
    assert one.take(("2001:db8::7", 40000, "2001:db8::10", 80)) == "forward"
    assert ends_of(one.sent) == ("2001:db8::7", 40000, "fd00::1", 8080)
    assert one.take(("fd00::1", 8080, "2001:db8::7", 40000), tcp_flags=SYN | ACK) == "forward"
    assert ends_of(one.sent) == ("2001:db8::10", 80, "2001:db8::7", 40000)


def test_direct_leaves_the_packet_and_says_where_its_frame_goes() -> None:
    one = Instance(config(A, mode="direct"))
    for flags, then in ((SYN, OPENING), (ACK, OPEN), (FA, CLOSED), (ACK, CLOSED)):
        assert one.take(FLOW, tcp_flags=flags) == "forward"
        assert (one.sent["direct"], one.server, state(one)) == (1, A, then)
    assert len(one.store.entries) == 1
    assert one.take((VIRTUAL, 80, CLIENT, 40000), tcp_flags=ACK) == "forward", "the server's answer may come this way"
    assert ends_of(one.sent) == (VIRTUAL, 80, CLIENT, 40000)
    assert not one.sent["direct"]


@pytest.mark.parametrize(
    ("ends", "fields", "fate"),
    [
        (FLOW, {"tcp_flags": ACK}, "no_flow"),
        (FLOW, {"tcp_flags": SYN | ACK}, "no_flow"),
        (FLOW, {"tcp_flags": RST}, "no_flow"),
        (FLOW, {"tcp_flags": SYN | FIN}, "no_flow"),
        (FLOW, {"kind": FRAGMENT, "tcp_flags": 0}, "no_flow"),
        ((CLIENT, 40000, VIRTUAL, 81), {}, "no_service"),
        (FLOW, {"protocol": UDP}, "no_service"),
        ((CLIENT, 7, VIRTUAL, 7), {"protocol": ICMP, "icmp_type": 8}, "no_service"),
        ((VIRTUAL, 80, CLIENT, 40000), {"tcp_flags": ACK}, "no_flow"),
        ((VIRTUAL, 80, CLIENT, 40000), {"kind": ICMP_ERROR}, "no_flow"),
        ((VIRTUAL, 80, VIRTUAL, 80), {}, "no_flow"),  # forged: it would go round for ever
        (FLOW, {"kind": ICMP_ERROR}, "no_flow"),
        ((CLIENT, 40000, "203.0.113.5", 80), {}, "other"),
        ((A, 22, CLIENT, 40000), {"tcp_flags": SYN | ACK}, "other"),
        ((A, 80, CLIENT, 40000), {"tcp_flags": ACK}, "other"),
    ],
)
@pytest.mark.parametrize("refusal", ["drop", "reject"])
@pytest.mark.parametrize("others", ["forward", "drop"])
def test_packets_of_no_flow(ends: Ends, fields: dict[str, Any], fate: str, refusal: str, others: str) -> None:
    one = Instance(config(A, B, refusal=refusal, other_traffic=others))
    expected = {"forward": "forward", "drop": "not_for_us"}[others] if fate == "other" else fate
    assert one.take(ends, **fields) == expected
    assert one.rejected == (refusal == "reject" and fate != "other" and ends[0] != VIRTUAL)
    assert ends_of(one.sent) == ends
    assert not one.store.entries


def test_the_flows_ports_past_the_virtual_address() -> None:
    """The server would take such packets for the balanced flow's."""
    one = Instance(config(A))
    handshake(one, FLOW)
    assert one.take((CLIENT, 40000, A, 80), tcp_flags=ACK) == "not_of_flow"
    assert one.take((VIRTUAL, 80, CLIENT, 40000), tcp_flags=ACK) == "not_of_flow"


@pytest.mark.parametrize("mode", ["nat", "direct"])
def test_icmp_errors_go_to_who_sent_what_they_quote(mode: str) -> None:
    """Path MTU discovery, both ways; the addresses are those of the quoted packet."""
    one = Instance(config({"address": A, "port": 8080} if mode == "nat" else A, mode=mode))
    handshake(one, FLOW)
    commits, quote = one.store.commits, (VIRTUAL, 80, CLIENT, 40000)
    assert one.take(quote, kind=ICMP_ERROR, icmp_type=3, icmp_code=4) == "forward"
    if mode == "nat":
        assert ends_of(one.sent) == (A, 8080, CLIENT, 40000)
        assert one.take((CLIENT, 40000, A, 8080), kind=ICMP_ERROR, icmp_type=3, icmp_code=4) == "forward"
        assert ends_of(one.sent) == FLOW
        assert one.take((A, 8080, CLIENT, 40000), kind=ICMP_ERROR) == "forward"
        assert ends_of(one.sent) == (A, 8080, CLIENT, 40000)
    else:
        assert (one.sent["direct"], one.server) == (1, A)
    assert one.take(FLOW, kind=ICMP_ERROR) == "forward"
    assert ends_of(one.sent) == FLOW
    assert (one.store.commits, one.sent["direct"]) == (commits, 0)


def test_fragments_go_where_their_flow_goes() -> None:
    one = Instance(config(A, protocol="udp", ports=[53]))
    flow = (CLIENT, 40000, VIRTUAL, 53)
    assert one.take(flow, protocol=UDP) == "forward"
    one.store.now += 2500
    assert one.take(flow, protocol=UDP, kind=FRAGMENT) == "forward"
    assert (one.server, state(one)) == (A, ASKED), "fragments change nothing"
    one.load(down=[A])
    assert one.take(flow, protocol=UDP, kind=FRAGMENT) == "server_down"
    assert one.store.commits == 1


def test_a_drained_server_keeps_its_flows_and_gets_no_new_ones() -> None:
    one = Instance(config(A, B))
    flows: dict[Ends, str] = {}
    for i in range(20):
        flow = (CLIENT, 40000 + i, VIRTUAL, 80)
        flows[flow] = handshake(one, flow)
    drained = Instance(config({"address": A, "drain": True}, B), one.store)
    for flow, server in flows.items():
        assert drained.take(flow, tcp_flags=ACK) == "forward"
        assert drained.server == server
    assert {A, B} == set(flows.values())
    assert spread_of(drained, 50).keys() == {B}


def test_a_dead_server_gets_nothing_and_its_connections_are_reset() -> None:
    one = Instance(config(A, B))
    flows: dict[Ends, str] = {}
    for i in range(20):
        flow = (CLIENT, 40000 + i, VIRTUAL, 80)
        flows[flow] = handshake(one, flow)
    one.load(down=[A])
    for flow, server in flows.items():
        fate = one.take(flow, tcp_flags=ACK)
        assert (fate, one.rejected) == (("server_down", True) if server == A else ("forward", False))
    ids = {str(backend.server.address): backend.identity for backend in backends(one.settings)}
    assert one.store.loads[ids[A]] == 0
    for flow in flows:
        assert one.take(flow) == "forward", "a SYN gets another server"
        assert one.server == B
    assert spread_of(one, 50).keys() == {B}
    assert set(one.store.loads.elements()) == {ids[B]}


def test_a_syn_to_a_server_that_died_moves() -> None:
    """The client's retransmission finds a server that lives: nothing but time is lost."""
    one = Instance(config(A, B))
    assert one.take(FLOW) == "forward"
    first = one.server
    one.load(down=[first])
    assert one.take(FLOW) == "forward"
    assert {first, one.server} == {A, B}
    assert sorted(one.store.loads.values()) == [0, 1]
    assert one.take(answer(one), tcp_flags=SYN | ACK) == "forward"
    assert ends_of(one.sent)[:2] == (VIRTUAL, 80)


@pytest.mark.parametrize("mode", ["nat", "direct"])
def test_connections_move_where_the_service_says_so(mode: str) -> None:
    one = Instance(config(A, B, mode=mode, on_server_down="move"))
    first = handshake(one, FLOW)
    one.load(down=[first])
    assert one.take(FLOW, tcp_flags=ACK) == "forward"
    moved = one.server
    assert {first, moved} == {A, B}
    one.load()
    assert one.take(FLOW, tcp_flags=ACK) == "forward"
    assert one.server == moved, "and stays there"
    assert len(one.store.entries) == (2 if mode == "nat" else 1)
    assert sum(one.store.loads.values()) == 1


def test_datagrams_always_move() -> None:
    one = Instance(config(A, B, protocol="udp"))
    assert one.take(FLOW, protocol=UDP) == "forward"
    first = one.server
    one.load(down=[first])
    assert one.take(FLOW, protocol=UDP) == "forward"
    assert {first, one.server} == {A, B}


def test_when_all_servers_are_down() -> None:
    one = Instance(config(A, B, on_server_down="move"))
    handshake(one, FLOW)
    one.load(down=[A, B])
    assert one.take(FLOW, tcp_flags=ACK) == "no_server"
    assert one.take((CLIENT, 1, VIRTUAL, 80)) == "no_server"


def test_a_service_that_was_removed_leaves_its_flows_alone_until_their_server_dies() -> None:
    other = {"name": "web", "address": "192.0.2.11", "ports": [80], "servers": [{"address": A}]}
    one = Instance(config(A, on_server_down="move"))
    handshake(one, FLOW)
    two = Instance(config(B, name="mail", ports=[25], others=[other]), one.store)
    assert two.take(FLOW, tcp_flags=ACK) == "forward"
    assert two.server == A
    two.load(down=[A])
    assert two.take(FLOW, tcp_flags=ACK) == "no_service"


@pytest.mark.parametrize("ending", ["reset", "closed"])
def test_a_tuple_is_used_again(ending: str) -> None:
    one = Instance(config(A, B))
    first = handshake(one, FLOW)
    back = answer(one)
    if ending == "reset":
        assert one.take(back, tcp_flags=RST) == "forward"
    else:
        assert one.take(FLOW, tcp_flags=FA) == "forward"
        assert one.take(back, tcp_flags=FA) == "forward"
    assert (state(one), sum(one.store.loads.values())) == (CLOSED, 0)
    assert one.take(FLOW) == "forward"
    assert (state(one), one.server, sum(one.store.loads.values())) == (OPENING, first, 1)
    assert one.take(FLOW, tcp_flags=FA) == "forward"
    assert state(one) == CLOSING, "the FINs of the connection before are forgotten"


def test_a_tuple_used_again_leaves_a_server_that_drains() -> None:
    one = Instance(config(A, B))
    first = handshake(one, FLOW)
    assert one.take(FLOW, tcp_flags=RST) == "forward"
    drained = [{"address": address, "drain": address == first} for address in (A, B)]
    two = Instance(config(*drained), one.store)
    assert two.take(FLOW) == "forward"
    assert {first, two.server} == {A, B}


def test_a_forged_reset_is_undone_by_traffic() -> None:
    one = Instance(config(A))
    handshake(one, FLOW)
    assert one.take(FLOW, tcp_flags=RST) == "forward"
    commits = one.store.commits
    for flags in (ACK, RST, ACK, RST):  # what was in flight, and answers to it
        assert one.take(FLOW, tcp_flags=flags) == "forward"
    assert (state(one), one.store.commits) == (CLOSED, commits)
    one.store.now += 2000
    assert one.take(FLOW, tcp_flags=ACK) == "forward"
    assert (state(one), sum(one.store.loads.values())) == (OPEN, 1)


def test_an_answer_does_not_open_what_no_client_confirmed() -> None:
    """A spoofed SYN holds a record for `tcp_opening_s`, whatever the server sends."""
    one = Instance(config(A))
    assert one.take(FLOW) == "forward"
    back = answer(one)
    for flags in (SYN | ACK, ACK):
        assert one.take(back, tcp_flags=flags) == "forward"
        assert state(one) == OPENING
    assert one.take(FLOW) == "forward"
    assert state(one) == OPENING


def test_datagrams_become_a_stream() -> None:
    one = Instance(config(A, protocol="udp"))
    assert one.take(FLOW, protocol=UDP) == "forward"
    assert one.take(answer(one), protocol=UDP) == "forward"
    assert ends_of(one.sent)[:2] == (VIRTUAL, 80)
    assert (state(one), one.store.commits) == (ASKED, 1)
    one.store.now += 2500
    assert one.take(FLOW, protocol=UDP) == "forward"
    assert (state(one), one.store.commits) == (STREAM, 2)


@pytest.mark.parametrize(
    ("protocol", "steps", "seconds"),
    [
        (TCP, [SYN], 60),
        (TCP, [SYN, ACK], 900),
        (TCP, [SYN, ACK, FA], 120),
        (TCP, [SYN, ACK, RST], 120),
        (UDP, [0], 30),
    ],
)
def test_lifetimes(protocol: int, steps: list[int], seconds: int) -> None:
    one = Instance(config(A, protocol="tcp" if protocol == TCP else "udp"))
    for flags in steps:
        assert one.take(FLOW, protocol=protocol, tcp_flags=flags) == "forward"
    one.store.now += seconds * 1000 - 1
    one.store.expire()
    assert one.store.entries
    one.store.now += 1
    one.store.expire()
    assert not one.store.entries
    assert not any(one.store.loads.values()), "loads return to zero, also when clients just vanish"


def test_another_server_where_the_clients_port_is_in_use() -> None:
    """Two services share servers; a client may use one port towards both: the server could not tell them apart."""
    ports = {"address": VIRTUAL, "ports": [443], "name": "more"}
    pool = [{"address": address, "port": 8080} for address in (A, B)]
    one = Instance(config(*pool, ports=[80], others=[{**ports, "servers": pool}]))
    for i in range(20):
        flows = [(CLIENT, 40000 + i, VIRTUAL, port) for port in (80, 443)]
        assert {handshake(one, flow) for flow in flows} == {A, B}
    lonely = Instance(config(pool[0], ports=[80], others=[{**ports, "servers": pool[:1]}]))
    assert lonely.take((CLIENT, 40000, VIRTUAL, 80)) == "forward"
    assert lonely.take((CLIENT, 40000, VIRTUAL, 443)) == "address_in_use"
