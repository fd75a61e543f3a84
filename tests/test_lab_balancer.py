"""Behind the load balancer 10,000 connections talk while servers and instances come and go: none moves, none breaks.

With two instances and every packet through another one. Where that needs no instances, a Linux router stands in for
them, too: what that cannot do either would be the lab's fault.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from balancer_lab import (
    CHECK_MS,
    CHECK_PORT,
    CHECKED,
    CHECKED_PORT,
    CROWD,
    CROWD_PORT,
    DIRECT,
    DIRECT_PORT,
    DIRECT_SERVERS,
    FALL,
    RISE,
    BalancerLab,
    balancer_lab,
    server_address,
)
from conftest import eventually
from lab_clients import ask, connect, download, say_line
from lab_crowd import crowd_of, name_server
from lab_peers import Content, WhoAsks, saying, serving
from statelessnf.lab.links import Meter
from statelessnf.lab.routed import FAR

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

CONNECTIONS = {"statelessnf": 10_000, "linux": 2000}  # of the stand-in: enough to see that the lab can do it
SECONDS = 120.0
LINKS = ("eth0", "eth1")  # of a direct server: the inner one, and its own way out
SLACK = 20.0  # seconds beyond what health checks have to take: the lease of one that was killed, and a busy machine


@pytest.fixture(scope="module", params=["linux", "statelessnf"])
def balancer(request: pytest.FixtureRequest) -> Iterator[BalancerLab]:
    with balancer_lab(request.param) as lab:
        yield lab


def test_no_connection_moves_or_breaks(balancer: BalancerLab) -> None:
    began, connections = time.monotonic(), CONNECTIONS[balancer.name]
    tenth = connections // 10
    with ExitStack() as stack:
        for number in (11, 12, 13, 14):
            address, name = server_address(number), f"server{number}"
            stack.enter_context(name_server(balancer.servers[number], address, CROWD_PORT, name))
        near, far = (
            stack.enter_context(crowd_of(host, CROWD, CROWD_PORT)) for host in (balancer.client, balancer.topology.far)
        )
        first = near.grow(7 * tenth)
        assert set(first) == {"server11", "server12", "server13"}
        assert min(first.values()) > tenth
        # The four steps of https://github.com/facebookincubator/katran/issues/155, while a server drains.
        balancer.publish([11, 12, 13, 14], draining=[12])
        second = far.grow(2 * tenth)
        assert "server14" in second
        assert "server12" not in second
        balancer.lose_an_instance()
        assert near.look() == unharmed(7 * tenth)
        balancer.gain_an_instance()
        near.grow(tenth)
        assert (near.look(), far.look()) == (unharmed(8 * tenth), unharmed(2 * tenth))
    assert time.monotonic() - began < SECONDS


def unharmed(guests: int) -> dict[str, int]:
    return {"guests": guests, "moved": 0, "broken": 0, "silent": 0}


def test_direct_servers_answer_by_their_own_way(balancer: BalancerLab) -> None:
    """The client's packets come by the inner link, through the instances; the server's do not go back there."""
    with ExitStack() as stack:
        meters = []
        for number in DIRECT_SERVERS:
            server = balancer.servers[number]
            stack.enter_context(serving(server, DIRECT, DIRECT_PORT, Content))
            meters.append(stack.enter_context(closing(Meter(server))))
        before = [meter.read() for meter in meters]
        for client in (balancer.client, balancer.topology.far):
            assert download(client, DIRECT, DIRECT_PORT) == Content.CONTENT
        turns = list(zip([meter.read() for meter in meters], before, strict=True))
    inner, outer = (sum(now[link].sent_bytes - then[link].sent_bytes for now, then in turns) for link in LINKS)
    assert outer > 2 * len(Content.CONTENT)
    assert inner < 10_000
    assert sum(now["eth0"].received_packets - then["eth0"].received_packets for now, then in turns) > 100


def test_a_client_is_seen_as_itself(balancer: BalancerLab) -> None:
    """Mode `nat` rewrites the destination only."""
    with serving(balancer.servers[11], server_address(11), CROWD_PORT, WhoAsks), ExitStack() as stack:
        for number in (12, 13, 14):
            stack.enter_context(serving(balancer.servers[number], server_address(number), CROWD_PORT, WhoAsks))
        assert ask(balancer.topology.far, CROWD, CROWD_PORT, 40_001) == (str(FAR), 40_001)


@pytest.mark.parametrize("balancer", ["statelessnf"], indirect=True, scope="module")  # the stand-in checks no servers
def test_a_dead_server_takes_no_new_connections(balancer: BalancerLab) -> None:
    """Within the time of `fall` checks; it loses those that it had, and is back after `rise`."""
    first, second = balancer.servers[11], balancer.servers[12]
    with (
        serving(first, server_address(11), CHECKED_PORT, saying("server11")),
        serving(second, server_address(12), CHECKED_PORT, saying("server12")),
        serving(second, server_address(12), CHECK_PORT, WhoAsks),
    ):
        with ExitStack() as connections:
            with serving(first, server_address(11), CHECK_PORT, WhoAsks):
                assert takers_become(balancer, {"server11", "server12"}, RISE)
                held = connections.enter_context(connection_to(balancer, "server11"))
            assert takers_become(balancer, {"server12"}, FALL)
            with pytest.raises(ConnectionResetError):
                say_line(held)
        with serving(first, server_address(11), CHECK_PORT, WhoAsks):
            assert takers_become(balancer, {"server11", "server12"}, RISE)


def takers_become(balancer: BalancerLab, expected: set[str], checks: int) -> bool:
    """Before long, once so many checks have been run."""
    seen: list[set[str]] = []

    def are_there() -> bool:
        seen.append(takers(balancer))
        return seen[-1] == expected

    found = eventually(are_there, checks * CHECK_MS / 1000 + SLACK)
    print("takers:", *seen)  # shown where a test fails
    return found


def takers(balancer: BalancerLab) -> set[str]:
    """Which servers get eight new connections; `""`: nobody."""
    names = set()
    for _ in range(8):
        try:
            with connect(balancer.client, CHECKED, CHECKED_PORT, 0.5) as connection:
                names.add(say_line(connection))
        except OSError:
            names.add("")
    return names


def connection_to(balancer: BalancerLab, name: str) -> socket.socket:
    """A connection to the service that this server has; there must be one among the next eight."""
    for _ in range(8):
        connection = connect(balancer.client, CHECKED, CHECKED_PORT)
        if say_line(connection) == name:
            return connection
        connection.close()
    raise AssertionError(f"{name} gets no connections")
