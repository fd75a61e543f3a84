"""The lab's network: what its links carry, and how its switch spreads packets over the instances."""

import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Interface

import pytest

from statelessnf.errors import SteeringError
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, add_address, connect
from statelessnf.lab.routed import RoutedTopology
from statelessnf.lab.switch import Switch
from statelessnf.lab.topology import Topology
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.steering.libnftables import Nftables
from steering_frames import CLIENT_MAC, neighbour_frame, raw_socket

pytestmark = pytest.mark.root

ETHERTYPE = 0x88B5  # IEEE 802: local experimental


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def topology(lab: Lab) -> Iterator[Topology]:
    with Topology(lab, 2) as topology:
        yield topology


def numbered(number: int) -> bytes:
    return b"\xff" * 6 + b"\x02" + b"\0" * 5 + struct.pack("!HI", ETHERTYPE, number) + b"\0" * 42


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


def test_refused_rules_are_explained(topology: Topology) -> None:
    chain = "add chain netdev snf-lab x { type filter hook ingress device no_such_link priority 0; }"
    with (
        closing(Nftables(topology.switch)) as nftables,
        pytest.raises(SteeringError, match=r"nftables refused the rules: \w"),
    ):
        nftables.apply(chain)


def ours(frames: list[bytes]) -> list[bytes]:
    """Without what the hosts' IPv6 says of its own accord."""
    return [frame for frame in frames if frame[6:12] == CLIENT_MAC]


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
