"""Which server a new flow gets: shares by policy and weight, affinity, and loads that are old when they arrive."""

from collections import Counter

import pytest

from balancer_play import VIRTUAL, Instance, config, spread_of
from statelessnf.functions.balancer_tables import backends

pytestmark = pytest.mark.beside

A, B, C = "10.0.0.11", "10.0.0.12", "10.0.0.13"
POLICIES = ["round_robin", "weighted", "consistent_hash"]


@pytest.mark.parametrize(
    ("policy", "affinity"),
    [*((policy, how) for policy in POLICIES for how in ("none", "source")), ("least_connections", "none")],
)
def test_each_policy_spreads_by_weight(policy: str, affinity: str) -> None:
    weights = {A: 1, B: 1, C: 1 if policy in ("round_robin", "least_connections") else 3}
    servers = [{"address": address, "weight": weight} for address, weight in weights.items()]
    found = spread_of(Instance(config(*servers, policy=policy, affinity=affinity)))
    for address, weight in weights.items():
        expected = 800 * weight / sum(weights.values())
        assert abs(found[address] - expected) < 5 * expected**0.5, found


def test_affinity_is_of_the_address_alone() -> None:
    one = Instance(config(A, B, C, policy="consistent_hash", affinity="source"))
    for host in range(20):
        servers = set()
        for port in range(10):
            assert one.take((f"198.51.100.{host}", 30000 + 7 * port, VIRTUAL, (80, 443)[port % 2])) == "forward"
            servers.add(one.server)
        assert len(servers) == 1


def test_least_connections_prefers_the_lighter_of_two() -> None:
    settings = config(A, B, policy="least_connections")
    one = Instance(settings)
    ids = {str(backend.server.address): backend.identity for backend in backends(settings)}
    for loads, share in (((10**6, 0), 0), ((0, 10**6), 1), ((299, 99), 0.25), ((100, 99), 0.5)):
        one = Instance(settings)
        one.load(loads=dict(zip((ids[A], ids[B]), loads, strict=True)))
        assert abs(spread_of(one, 400)[A] - share * 400) < 5 * (400 * share * (1 - share)) ** 0.5 + 1
    settings = config({"address": A, "weight": 4}, B, policy="least_connections")
    one = Instance(settings)
    ids = {str(backend.server.address): backend.identity for backend in backends(settings)}
    one.load(loads={ids[A]: 399, ids[B]: 99})
    assert 150 < spread_of(one, 400)[A] < 250, "four times the connections are as many for four times the weight"


def test_instances_with_the_same_old_loads_do_not_overrun_one_server() -> None:
    """Ten servers, one much lighter: with stale loads it gets the flows of every pair that it is in, no more."""
    settings = config(*[f"10.0.0.{i}" for i in range(10)], policy="least_connections")
    loads = {backend.identity: 10**6 for backend in backends(settings)}
    loads[next(iter(loads))] = 0
    one = Instance(settings)
    one.load(loads=loads)
    found = spread_of(one)
    assert 800 * 0.2 - 60 < found["10.0.0.0"] < 800 * 0.2 + 60, found


def test_two_servers_share_the_flows_between_two_looks_at_the_loads() -> None:
    """The loads of a second ago say who is lighter; not every flow of this second may follow that."""
    one = Instance(config(A, B, policy="least_connections", timeouts={"tcp_opening_s": 3}))
    for second in range(8):
        found: Counter[str] = Counter()
        for i in range(100):
            assert one.take(("203.0.113.9", 1000 + 100 * second + i, VIRTUAL, 80)) == "forward"
            found[one.server] += 1
        assert 25 <= found[A] <= 75, (second, found)
        one.load(loads=one.store.loads)
        one.store.now += 1000
