"""Behind the NAT everything works that hosts do, with two instances and every packet through another one (RFC 4787).

Each test runs for both ends of the scale of filtering; and with a Linux router in the instances' place: what that
cannot do either would be the lab's fault.
"""

import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from ipaddress import ip_address, ip_network

import pytest

from conftest import eventually
from lab_clients import (
    IcmpError,
    ask,
    attempt,
    connect,
    datagrams,
    discover,
    download,
    fetch,
    fetch_by_ftp,
    first_error,
    icmp_listener,
    path_mtu,
    resolve,
    say_line,
    udp_hop,
    upload,
)
from lab_peers import Address, Checksum, Content, Dns, Ftp, Stun, WhoAsks, serving
from nat_lab import (
    EXTERNAL,
    FORWARDED_PORT,
    FURTHER,
    INNER_PORT,
    NEIGHBOUR,
    OTHER,
    WEB_BYTES,
    NatLab,
    nat_lab,
    section,
)
from statelessnf.lab.routed import FAR, FAR_TOO, FAR_V6, NARROW, NARROW_MTU, ROUTERS

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

POOL = ip_network("203.0.113.8/29")
TIME_EXCEEDED, UNREACHABLE, PORT, TOO_BIG = 11, 3, 3, 4  # ICMP
FURTHER_FORWARD = f"""
[[nat.forwards]]
protocol = "tcp"
external = "{FURTHER}"
ports = "{FORWARDED_PORT}"
inner = "{OTHER.ip}"
inner_port = {INNER_PORT}
"""


FILTERING = ["address-and-port", "endpoint-independent"]


@pytest.fixture(scope="module", params=["linux", *FILTERING])
def nat(request: pytest.FixtureRequest) -> Iterator[NatLab]:
    with nat_lab(request.param) as lab:
        yield lab


def test_curl(nat: NatLab) -> None:
    before = [traffic.returned_packets for traffic in nat.topology.traffic()]
    assert fetch(nat.host, f"http://{FAR}/0.bin") == nat.web_checksum
    after = [traffic.returned_packets for traffic in nat.topology.traffic()]
    carried = [now - then for now, then in zip(after, before, strict=True)]
    for _ in nat.instances:
        assert min(carried) > 0.4 * sum(carried) > 1000


def test_names_over_udp(nat: NatLab) -> None:
    with serving(nat.topology.far, FAR, 53, Dns):
        for number in range(20):
            assert resolve(nat.host, FAR, f"host{number}.example.org") == Dns.ANSWER


def test_a_neighbour_on_the_outer_link(nat: NatLab) -> None:
    with serving(nat.neighbour, NEIGHBOUR.ip, 7, WhoAsks):
        assert ip_address(ask(nat.host, NEIGHBOUR.ip, 7)[0]) in POOL


def ping(nat: NatLab, server: Address, size: int) -> str:
    return attempt(nat.host, "ping", "-c", "5", "-i", "0.05", "-W", "2", "-s", str(size), str(server))


@pytest.mark.parametrize("server", [FAR, FAR_V6])
def test_ping(nat: NatLab, server: Address) -> None:
    assert " 5 received" in ping(nat, server, 56)


@pytest.mark.parametrize("server", [FAR, FAR_V6])
def test_fragments(nat: NatLab, server: Address) -> None:
    assert " 5 received" in ping(nat, server, 3000)


def test_fragments_by_one_instance(nat: NatLab) -> None:
    nat.topology.steer("packet", [0])
    shown = [ping(nat, server, 3000) for server in (FAR, FAR_V6)]
    nat.topology.steer("packet", range(max(1, len(nat.instances))))
    assert all(" 5 received" in one for one in shown)


def test_traceroute_by_udp(nat: NatLab) -> None:
    hops = [udp_hop(nat.host, FAR, ttl) for ttl in (1, 2, 3)]
    assert IcmpError(str(ROUTERS[0].ip), TIME_EXCEEDED, 0) in hops
    assert hops[-1] == IcmpError(str(FAR), UNREACHABLE, PORT)


def test_traceroute_by_ping(nat: NatLab) -> None:
    """`ping` shows an error only for what quotes its own request."""
    shown = [attempt(nat.host, "ping", "-n", "-c", "1", "-W", "2", "-t", str(ttl), str(FAR)) for ttl in (1, 2, 3)]
    assert any(f"From {ROUTERS[0].ip} icmp_seq=1 Time to live exceeded" in one for one in shown)
    assert f"bytes from {FAR}: icmp_seq=1" in shown[-1]


def test_mapping_is_independent_of_the_endpoint(nat: NatLab) -> None:
    """STUN (RFC 8489): two servers see the same endpoint of a socket (RFC 4787 REQ-1)."""
    with serving(nat.topology.far, FAR, 3478, Stun), serving(nat.topology.far, FAR_TOO, 3478, Stun):
        for _ in range(10):
            with datagrams(nat.host) as endpoint:
                seen = discover(endpoint, FAR)
                assert discover(endpoint, FAR_TOO) == seen
                assert ip_address(seen[0]) in POOL
                assert seen[1] % 2 == endpoint.getsockname()[1] % 2  # RFC 4787 REQ-4


def test_filtering(nat: NatLab) -> None:
    """RFC 4787 REQ-8: who the host has not spoken to reaches it only if the filtering is endpoint-independent."""
    with serving(nat.topology.far, FAR, 3478, Stun), datagrams(nat.host) as endpoint, datagrams(nat.neighbour) as other:
        other.bind((str(NEIGHBOUR.ip), 0))
        other.sendto(b"hello", discover(endpoint, FAR))
        if nat.translator == "endpoint-independent":
            assert endpoint.recvfrom(64) == (b"hello", other.getsockname())
            endpoint.sendto(b"yourself", other.getsockname())
            assert other.recv(64) == b"yourself"
        else:
            endpoint.settimeout(0.5)
            with pytest.raises(TimeoutError):
                endpoint.recv(64)


def test_passive_ftp(nat: NatLab) -> None:
    with serving(nat.topology.far, FAR, 21, Ftp):
        assert fetch_by_ftp(nat.host, FAR) == Ftp.FILE


def test_a_forward_from_outside(nat: NatLab) -> None:
    with serving(nat.other, OTHER.ip, INNER_PORT, WhoAsks):
        assert ask(nat.neighbour, EXTERNAL, FORWARDED_PORT, 40_001) == (str(NEIGHBOUR.ip), 40_001)
        assert ask(nat.topology.far, EXTERNAL, FORWARDED_PORT, 40_002) == (str(FAR), 40_002)


def test_no_other_way_in(nat: NatLab) -> None:
    with serving(nat.other, OTHER.ip, INNER_PORT, WhoAsks), nat.neighbour.entered(), socket.socket() as client:
        client.settimeout(0.5)
        with pytest.raises(OSError, match=r"timed out|refused"):
            client.connect((str(EXTERNAL), FORWARDED_PORT + 1))


def test_hairpin(nat: NatLab) -> None:
    """RFC 4787 REQ-9, RFC 5382 REQ-8: the other side sees an external endpoint, not the inner one."""
    with serving(nat.other, OTHER.ip, INNER_PORT, WhoAsks):
        assert ip_address(ask(nat.host, EXTERNAL, FORWARDED_PORT)[0]) in POOL
    with serving(nat.other, OTHER.ip, INNER_PORT, Content):
        assert download(nat.host, EXTERNAL, FORWARDED_PORT) == Content.CONTENT


def test_path_mtu_outside(nat: NatLab) -> None:
    """A router outside says that packets are too big: the message reaches the inner host (RFC 5508 REQ-4)."""
    with serving(nat.topology.far, NARROW, 7, Checksum):
        assert upload(nat.host, NARROW, 7, Content.CONTENT) == sha256(Content.CONTENT).hexdigest()
    assert path_mtu(nat.host, NARROW) == NARROW_MTU


def test_path_mtu_inside(nat: NatLab) -> None:
    """A router inside says so to the far host: the message goes out with an external address and quotes one."""
    with icmp_listener(nat.topology.far) as heard, serving(nat.topology.far, FAR_TOO, 7, Content):
        assert download(nat.behind, FAR_TOO, 7) == Content.CONTENT
        told = first_error(heard)
    assert (told.type, told.code) == (UNREACHABLE, TOO_BIG)
    assert ip_address(told.sender) in POOL  # RFC 5508 REQ-5: no inner address leaves
    with serving(nat.topology.far, FAR_TOO, 7, WhoAsks):
        external = ip_address(ask(nat.behind, FAR_TOO, 7)[0])  # the same for all that a host does: RFC 4787 REQ-2
    assert path_mtu(nat.topology.far, external) == NARROW_MTU


def test_many_connections(nat: NatLab) -> None:
    with serving(nat.topology.far, FAR, 7, WhoAsks):
        connections = [connect(nat.host, FAR, 7) for _ in range(200)]
        seen = set()
        for connection in connections:
            with connection:
                connection.sendall(b"?\n")
                seen.add(connection.makefile().readline())
    assert len(seen) == 200


def test_ipv6(nat: NatLab) -> None:
    with serving(nat.topology.far, FAR_V6, 7, WhoAsks), serving(nat.topology.far, FAR_V6, 9, Content):
        assert ip_address(ask(nat.host, FAR_V6, 7)[0]) in ip_network("2001:db8:1::100/120")
        assert download(nat.host, FAR_V6, 9) == Content.CONTENT


@pytest.mark.parametrize("nat", FILTERING, indirect=True, scope="module")
def test_a_reload_adds_an_external_address(nat: NatLab) -> None:
    """It is answered for at once, and an open connection goes on; refused where hairpinning hangs on the addresses."""
    with serving(nat.topology.far, FAR, 9, WhoAsks), connect(nat.host, FAR, 9) as opened:
        known_as = say_line(opened)
        refused = nat.reload(section(nat.translator, FURTHER_FORWARD))
        if nat.translator == "address-and-port":
            assert refused == ""
            with serving(nat.other, OTHER.ip, INNER_PORT, WhoAsks):
                assert ask(nat.neighbour, FURTHER, FORWARDED_PORT, 40_003) == (str(NEIGHBOUR.ip), 40_003)
        else:
            assert "its addresses cannot change while instances run" in refused
        assert say_line(opened) == known_as


@pytest.mark.parametrize("nat", FILTERING, indirect=True, scope="module")
def test_a_download_survives_an_instance(nat: NatLab) -> None:
    """`kill -9` in the middle: as soon as its end is seen, the other one gets all packets."""
    topology, (survivor, victim) = nat.topology, nat.instances
    before = sum(traffic.returned_bytes for traffic in topology.traffic())

    def half_done() -> bool:
        return sum(traffic.returned_bytes for traffic in topology.traffic()) - before > WEB_BYTES // 2

    with ThreadPoolExecutor(1) as aside:
        checksum = aside.submit(fetch, nat.host, f"http://{FAR}/0.bin", "--limit-rate", "2M")
        assert eventually(half_done)
        victim.kill()
        select.select([victim.pidfd], [], [], 5.0)
        topology.steer("packet", [survivor.number])
        assert checksum.result() == nat.web_checksum
