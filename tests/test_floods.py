"""Floods: their frames are what a host would send, by Scapy's reading, and they come as far as the gate lets them."""

from ipaddress import IPv4Network, ip_address

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from statelessnf.bench.flood_bed import CONNECTIONS, flood_bed
from statelessnf.bench.flood_frames import (
    LENGTH,
    STRANGERS,
    SUBSCRIBERS,
    Flood,
    FloodFrames,
    flood_from_inside,
    port_scan,
    syn_flood,
    udp_flood,
)
from statelessnf.bench.flood_functions import PLANS
from statelessnf.bench.flood_sender import decoded, encoded
from statelessnf.bench.steady_flows import MESSAGE, PER_SECOND
from statelessnf.builder import build
from statelessnf.find import find_function

MAC = bytes.fromhex("020102030405")
COUNT = 200
OFFERED = CONNECTIONS * len(MESSAGE) * PER_SECOND  # bytes a second


def frames_of(flood: Flood, batches: int = 2) -> list[Ether]:
    """As Scapy reads them."""
    frames, taken = FloodFrames(flood, MAC, COUNT), []
    for _ in range(batches):
        frames.renew()
        assert frames.bytes_.shape == (COUNT, LENGTH)
        taken += [Ether(row.tobytes()) for row in frames.bytes_]
    return taken


@pytest.mark.parametrize("flood", [syn_flood("10.0.0.1", 80), udp_flood("10.0.0.1"), flood_from_inside()])
def test_checksums_are_right(flood: Flood) -> None:
    for frame in frames_of(flood):
        again = Ether(bytes(frame))
        del again[IP].chksum
        del again[TCP if TCP in again else UDP].chksum
        assert bytes(again.__class__(bytes(again))) == bytes(frame)
        assert frame.dst == MAC.hex(":")


def test_syns_come_from_everywhere_to_one_port() -> None:
    frames = frames_of(syn_flood("10.0.0.1", 80))
    assert {(frame[IP].dst, frame[TCP].dport, str(frame[TCP].flags)) for frame in frames} == {("10.0.0.1", 80, "S")}
    assert len({(frame[IP].src, frame[TCP].sport) for frame in frames}) == len(frames)
    assert all(ip_address(frame[IP].src) in STRANGERS for frame in frames)


def test_a_scan_tries_one_port_after_the_other() -> None:
    frames = frames_of(port_scan("10.0.0.1"))
    assert [frame[TCP].dport for frame in frames] == list(range(1, 2 * COUNT + 1))
    assert {frame[IP].src for frame in frames} == {str(STRANGERS[1])}


def test_datagrams_from_inside() -> None:
    frames = frames_of(flood_from_inside())
    for which, network in (("src", SUBSCRIBERS), ("dst", STRANGERS)):
        addresses = {getattr(frame[IP], which) for frame in frames}
        assert len(addresses) > 0.9 * len(frames)
        assert all(ip_address(address) in network for address in addresses)


def test_a_scan_of_all_ports_begins_again() -> None:
    frames = FloodFrames(port_scan("10.0.0.1"), MAC, 1 << 16)
    frames.renew()
    ports = frames.bytes_.view(">u2")[:, 18]
    assert (ports.min(), ports[-1], len(np.unique(ports))) == (1, 1, 65535)


@pytest.mark.parametrize("function", sorted(PLANS))
def test_floods_survive_the_command_line(function: str) -> None:
    for flood in PLANS[function].floods().values():
        assert decoded(encoded(flood)) == flood
        assert isinstance(decoded(encoded(flood)).sources, IPv4Network)


@pytest.mark.root
def test_a_flood_comes_through_the_gate_or_not() -> None:
    """What it meets is a firewall that drops it by its default; the established flows get what they ask for."""
    build(find_function("firewall"))
    plan = PLANS["firewall"]
    with flood_bed("firewall", plan, plan.floods()["UDP flood"]) as bed:
        assert bed.goodput(False, 0.1, 0.5) > 0.5 * OFFERED
        assert (bed.offered, bed.drops()["default_denied"]) == (0, 0)
        assert bed.goodput(True, 0.1, 0.5) > 0.25 * OFFERED
        assert bed.offered > 1000
        assert 0 < bed.store_share < 1
        dropped = bed.drops()
        assert dropped["default_denied"] > 1000
        assert dropped.total() - dropped["default_denied"] < 10  # a late segment of the flows' beginning or end
        assert bed.broken() == 0
