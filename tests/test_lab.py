"""The lab's network: what its links carry, and how its switch spreads packets over the instances."""

import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Interface

import pytest

from statelessnf.errors import LabError
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, add_address, connect
from statelessnf.lab.namespaces import Namespace
from statelessnf.lab.routed import RoutedTopology
from statelessnf.lab.spread import Nftables, ruleset
from statelessnf.lab.switch import Switch
from statelessnf.lab.topology import Topology

pytestmark = pytest.mark.root

ETHERTYPE = 0x88B5  # IEEE 802: local experimental
ALL_PROTOCOLS = 3  # ETH_P_ALL


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def topology(lab: Lab) -> Iterator[Topology]:
    with Topology(lab, 2) as topology:
        yield topology


def raw_socket(namespace: Namespace, interface: str) -> socket.socket:
    """Sends and receives whole frames; receives what comes in at the interface."""
    with namespace.entered():
        endpoint = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
    endpoint.bind((interface, ALL_PROTOCOLS))
    endpoint.settimeout(5.0)
    return endpoint


def numbered(number: int) -> bytes:
    return b"\xff" * 6 + b"\x02" + b"\0" * 5 + struct.pack("!HI", ETHERTYPE, number) + b"\0" * 42


def ported_frame(protocol: int, source_port: int, destination_port: int) -> bytes:
    ethernet = b"\xff" * 6 + b"\x02" + b"\0" * 5 + b"\x08\x00"
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, protocol, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")
    return ethernet + ip + struct.pack("!HHIIBBHHH", source_port, destination_port, 0, 0, 0x50, 2, 0, 0, 0)


def received_by_instances(topology: Switch, side: str, sender: Namespace, frames: list[bytes]) -> list[list[bytes]]:
    """What each instance gets at that side when the sender sends these frames."""
    with closing(raw_socket(sender, "eth0")) as source:
        sinks = [raw_socket(namespace, side) for namespace in topology.instances]
        for frame in frames:
            source.send(frame)
    taken = []
    for sink in sinks:
        with closing(sink):
            taken.append(list(waiting_frames(sink)))
    return taken


def waiting_frames(sink: socket.socket) -> Iterator[bytes]:
    """Frames over a veth are delivered before send returns, or a soft interrupt later: the first one is waited for."""
    sink.settimeout(0.2)
    while True:
        try:
            yield sink.recv(2048)
        except TimeoutError:
            return


def test_spread_by_packet_is_exactly_round_robin(topology: Topology) -> None:
    topology.steer("packet", [0, 1])
    frames = [numbered(i) for i in range(100)]
    assert received_by_instances(topology, "inside", topology.clients, frames) == [frames[0::2], frames[1::2]]
    assert received_by_instances(topology, "outside", topology.server, frames) == [frames[0::2], frames[1::2]]


def test_all_traffic_moves_to_the_instance_that_is_left(topology: Topology) -> None:
    frames = [numbered(i) for i in range(10)]
    topology.steer("packet", [0, 1])
    topology.steer("packet", [1])
    assert received_by_instances(topology, "inside", topology.clients, frames) == [[], frames]
    topology.steer("packet", [])
    assert received_by_instances(topology, "inside", topology.clients, frames) == [[], []]


def test_spread_by_direction(topology: Topology) -> None:
    frames = [numbered(i) for i in range(10)]
    topology.steer("direction", [0, 1])
    assert received_by_instances(topology, "inside", topology.clients, frames) == [frames, []]
    assert received_by_instances(topology, "outside", topology.server, frames) == [[], frames]


@pytest.mark.parametrize("protocol", [socket.IPPROTO_TCP, socket.IPPROTO_UDP])
def test_spread_by_flow_keeps_both_directions_together(topology: Topology, protocol: int) -> None:
    topology.steer("flow", [0, 1])
    ports = range(40000, 40064)
    requests = [ported_frame(protocol, port, 80) for port in ports]
    answers = [ported_frame(protocol, 80, port) for port in ports]
    out = received_by_instances(topology, "inside", topology.clients, requests + requests[:1] + requests)
    back = received_by_instances(topology, "outside", topology.server, answers)
    outbound = [{struct.unpack("!H", frame[34:36])[0] for frame in frames} for frames in out]
    inbound = [{struct.unpack("!H", frame[36:38])[0] for frame in frames} for frames in back]
    assert outbound == inbound
    assert outbound[0] | outbound[1] == set(ports)
    assert min(len(ports) for ports in outbound) > 16


def test_what_an_instance_sends_reaches_the_other_side(topology: Topology) -> None:
    topology.steer("packet", [0])
    source, sink = raw_socket(topology.instances[1], "outside"), raw_socket(topology.server, "eth0")
    with closing(source), closing(sink):
        source.send(numbered(7))
        assert sink.recv(2048) == numbered(7)
    assert topology.traffic()[1].returned_packets == 1


def test_links_carry_finished_frames(lab: Lab) -> None:
    one, two = Interface(lab.namespace("one"), "eth0"), Interface(lab.namespace("two"), "eth0")
    connect(one, two)
    for interface, address in ((one, "10.1.0.1/24"), (two, "10.1.0.2/24")):
        add_address(interface, IPv4Interface(address))
    with two.namespace.entered():
        listener = socket.create_server(("10.1.0.2", 9))
    with closing(listener), closing(raw_socket(two.namespace, "eth0")) as tap:
        with one.namespace.entered():
            client = socket.create_connection(("10.1.0.2", 9), 5.0)
        with client, listener.accept()[0] as server:
            client.sendall(bytes(range(256)) * 128)
            assert server.recv(1 << 15, socket.MSG_WAITALL) == bytes(range(256)) * 128
        frames = [frame for frame in waiting_frames(tap) if frame[12:14] == b"\x08\x00"]
    assert max(len(frame) for frame in frames) == 1514
    assert all(tcp_checksum_is_right(frame[14:]) for frame in frames)


def tcp_checksum_is_right(packet: bytes) -> bool:
    """RFC 9293, 3.1: the ones' complement sum over pseudo header and segment is all ones."""
    segment = packet[20 : struct.unpack("!H", packet[2:4])[0]]
    whole = packet[12:20] + struct.pack("!HH", 6, len(segment)) + segment + b"\0" * (len(segment) % 2)
    total: int = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def test_ruleset_is_one_transaction() -> None:
    text = ruleset("packet", 2, [0, 1])
    assert text.index("delete table") < text.index("table netdev spread {")
    assert text.count("type filter hook ingress") == 4


def test_refused_rules_are_explained(topology: Topology) -> None:
    chain = "add chain netdev spread x { type filter hook ingress device no_such_link priority 0; }"
    with (
        closing(Nftables(topology.switch)) as nftables,
        pytest.raises(LabError, match=r"nftables refused the rules: \w"),
    ):
        nftables.apply(chain)


SENDER = b"\x02" + bytes(5)


def ours(frames: list[bytes]) -> list[bytes]:
    """Without what the hosts' IPv6 says of its own accord."""
    return [frame for frame in frames if frame[6:12] == SENDER]


def neighbour_frame(to: bytes, kind: int) -> bytes:
    """What ARP sends (kind 0), or an ICMPv6 message of that type."""
    if kind == 0:
        return to + SENDER + b"\x08\x06" + bytes(46)
    header = struct.pack("!IHBB", 6 << 28, 24, socket.IPPROTO_ICMPV6, 255) + bytes(32)
    return to + SENDER + b"\x86\xdd" + header + bytes([kind]) + bytes(23)


def test_what_neighbours_tell_the_deployment_reaches_all_instances(lab: Lab) -> None:
    mac, other, everybody = bytes.fromhex("020102030405"), bytes.fromhex("020000000001"), b"\xff" * 6
    told = [neighbour_frame(mac, kind) for kind in (0, 135, 136)]
    others = [neighbour_frame(*frame) for frame in ((mac, 128), (everybody, 0), (other, 136))]
    with RoutedTopology(lab, 2, mac) as routed:
        routed.steer("packet", [0, 1])
        for side, sender in (("inside", routed.lan), ("outside", routed.wan)):
            first, second = (ours(taken) for taken in received_by_instances(routed, side, sender, told + others))
            assert first[:3] == second[:3] == told
            assert sorted(first[3:] + second[3:]) == sorted(others)
        routed.steer("packet", [1])
        first, second = (ours(taken) for taken in received_by_instances(routed, "inside", routed.lan, told))
        assert (first, second) == ([], told)
