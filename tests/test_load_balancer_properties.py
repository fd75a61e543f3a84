"""Properties of the load balancer: flows stick whatever changes, loads balance to zero, both forms agree."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer_play import VIRTUAL, Ends, Instance, Store, config, ends_of, handshake, packet
from forms import assert_forms_agree, assert_idempotent, compare
from statelessnf.builder import build
from statelessnf.function import table_arrays
from statelessnf.functions.balancer_config import BalancerConfig
from statelessnf.functions.balancer_tables import balancer_rules
from statelessnf.functions.load_balancer import LoadBalancer
from statelessnf.functions.rule_match import LinearRules
from statelessnf.packet import ACK, FIN, FRAGMENT, ICMP_ERROR, ORDINARY, PACKET, RST, SYN, TCP, UDP

pytestmark = pytest.mark.beside

SERVERS = [f"10.0.0.{i}" for i in range(1, 7)]
POLICIES = ("round_robin", "weighted", "consistent_hash", "least_connections")
MORE: dict[str, Any] = {"table_size": 1009}


@pytest.mark.parametrize("mode", ["nat", "direct"])
@pytest.mark.parametrize("policy", POLICIES)
def test_connections_stay_while_servers_and_instances_come_and_go(policy: str, mode: str) -> None:
    """The four steps that break balancers which keep a table of connections for each instance: add a server, open
    connections, remove an instance, go on through those that are left (katran, issue 155)."""
    store = Store()
    old = config(*SERVERS[:3], policy=policy, mode=mode, **MORE)
    new = config(*SERVERS[:4], policy=policy, mode=mode, **MORE)
    late, early = Instance(old, store), Instance(new, store)  # the new server has not reached every instance
    flows: dict[Ends, str] = {}
    for i in range(120):
        flow = ("198.51.100.7", 40000 + i, VIRTUAL, 80)
        flows[flow] = handshake((late, early)[i % 2], flow)
    assert set(flows.values()) == set(SERVERS[:4])
    for left in (late, early, Instance(config(*SERVERS[2:], policy=policy, mode=mode, **MORE), store)):
        for flow, server in flows.items():
            assert left.take(flow, tcp_flags=ACK) == "forward"
            assert left.server == server


_pools = st.lists(st.sampled_from(SERVERS), min_size=1, max_size=6, unique=True)
_steps = st.tuples(
    st.sampled_from(["packet"] * 6 + ["answer"] * 3 + ["swap", "wait"]),
    st.integers(0, 2),  # instance
    st.integers(0, 3),  # flow
    st.sampled_from([SYN, SYN, ACK, ACK, ACK, FIN | ACK, RST, SYN | ACK, 0]),
    _pools,
    _pools | st.just([]),
)


def _swap(instance: Instance, pool: Sequence[str], down: Sequence[str], service: dict[str, Any]) -> None:
    """Other servers; the first of several drains."""
    instance.settings = config({"address": pool[0], "drain": len(pool) > 1}, *pool[1:], **service)
    instance.load(down=down)


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(_steps, min_size=5, max_size=40),
    policy=st.sampled_from(POLICIES),
    mode=st.sampled_from(["nat", "direct"]),
    on_server_down=st.sampled_from(["reset", "move"]),
    protocol=st.sampled_from(["tcp", "tcp", "udp"]),
)
def test_whatever_changes_a_flow_leaves_its_server_only_if_that_is_down(
    steps: list[Any], policy: str, mode: str, on_server_down: str, protocol: str
) -> None:
    """Three instances, each with its own version of the tables. Idempotence is checked by `Instance` itself."""
    service: dict[str, Any] = {
        "policy": policy,
        "mode": mode,
        "on_server_down": on_server_down,
        "protocol": protocol,
        **MORE,
    }
    store, number = Store(), TCP if protocol == "tcp" else UDP
    instances = [Instance(config(*SERVERS[:3], **service), store) for _ in range(3)]
    down: list[set[str]] = [set(), set(), set()]
    owner: dict[Ends, str] = {}
    for kind, which, flow_number, flags, pool, lost in steps:
        flow, one = ("198.51.100.7", 40000 + flow_number, VIRTUAL, 80), instances[which]
        if kind == "swap":
            _swap(one, pool, lost, service)
            down[which] = set(pool) & set(lost)
        elif kind == "wait":
            store.now += 70_000
        elif kind == "packet":
            lived = _lives(store, flow)
            if one.take(flow, protocol=number, tcp_flags=flags) == "forward":
                may_move = not lived or owner[flow] in down[which] or (flags == SYN and protocol == "tcp")
                assert may_move or one.server == owner[flow]
                owner[flow] = one.server
        elif mode == "nat" and _lives(store, flow):
            back = (owner[flow], 80, *flow[:2])
            assert one.take(back, protocol=number, tcp_flags=flags) == "forward"
            assert ends_of(one.sent) == (*flow[2:], *flow[:2])
        assert all(load >= 0 for load in store.loads.values())
    _all_loads_return_to_zero(store)


def _lives(store: Store, flow: Ends) -> bool:
    store.expire()
    return any((flow[0], flow[1]) in key for key in store.entries)


def _all_loads_return_to_zero(store: Store) -> None:
    store.now += 10**9
    store.expire()
    assert not store.entries
    assert not any(store.loads.values())


def _balanced() -> BalancerConfig:
    """Two services, so that much of the classifier's answers happens; both modes and many servers."""
    other = {"name": "dns", "address": "192.0.2.53", "protocol": "udp", "ports": [53], "mode": "direct"}
    pool = [{"address": server, "weight": 1 + i} for i, server in enumerate(SERVERS)]
    other |= {"servers": pool, "policy": "weighted", "affinity": "source", "on_server_down": "move"}
    return config(*SERVERS, policy="least_connections", others=[other], refusal="reject")


def test_forms_agree() -> None:
    assert_forms_agree(LoadBalancer, _balanced())


def test_any_record_makes_process_idempotent() -> None:
    assert_idempotent(LoadBalancer, _balanced(), ("virtual", "destination"))


_sent = st.lists(
    st.fixed_dictionaries(
        {
            "ends": st.integers(0, 5),
            "flags": st.sampled_from([SYN, SYN, ACK, FIN | ACK, RST]),
            "kind": st.sampled_from([ORDINARY] * 6 + [FRAGMENT, ICMP_ERROR]),
            "protocol": st.sampled_from([TCP, TCP, UDP]),
            "attempt": st.sampled_from([0, 0, 1, 15, 16]),
            "flow_hash": st.integers(0, 2**64 - 1),
            "pause": st.sampled_from([0, 3000]),
        }
    ),
    min_size=1,
    max_size=12,
)


def test_forms_agree_on_flows() -> None:
    """Packets that get somewhere, with servers that die on the way."""
    built, whole = build(LoadBalancer), _balanced()
    services = LinearRules(balancer_rules(whole))
    versions = [table_arrays(LoadBalancer, whole)]
    instance = Instance(whole)
    instance.load(down=SERVERS[:3])
    versions.append(instance.arrays)
    client = "198.51.100.7"
    ends: list[Ends] = [(client, 4000, VIRTUAL, 80), (VIRTUAL, 80, client, 4000), (client, 4000, "192.0.2.53", 53)]
    ends += [(SERVERS[0], 80, client, 4000), (client, 4000, SERVERS[0], 80), (client, 4000, SERVERS[5], 80)]

    @settings(max_examples=250, deadline=None)
    @given(first=_sent, then=_sent)
    def agree(first: list[dict[str, Any]], then: list[dict[str, Any]]) -> None:
        record = np.zeros(1, LoadBalancer.record)
        for steps, arrays in zip((first, then), versions, strict=True):
            sent, now = np.zeros(len(steps), PACKET), 1_700_000_000_000
            for i, step in enumerate(steps):
                now += step["pause"]
                fields = {name: step[name] for name in ("kind", "protocol", "attempt", "flow_hash")}
                sent[i] = packet(ends[step["ends"]], tcp_flags=step["flags"], now=now, **fields)
            record = compare(LoadBalancer, built, sent, record, arrays, services)

    agree()
