"""What hosts send through functions that rewrite: openings of flows that compete, and answers to what has left.

The NAT's hosts all want the same port of one address that has four; the balancer's clients use one port for two
services whose servers listen on the same port. Whoever answers knows only what arrived at his side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from engine_world import Journey, Sample
from nat_play import config as nat_config
from pairs_subject import PairSubject, ends_of
from statelessnf._engine import describe
from statelessnf.functions.balancer_config import BalancerConfig
from statelessnf.functions.balancer_tables import backends
from statelessnf.functions.load_balancer import LoadBalancer
from statelessnf.functions.nat import Nat

OUTER, REMOTE = "203.0.113.1", "198.51.100.7"
PORTS = (5000, 5003)
VIRTUAL, SERVERS = "192.0.2.10", ("10.0.0.1", "10.0.0.2", "10.0.0.3")
INSIDE, OUTSIDE = 0, 1
MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
FLAGS = ("S", "S", "A", "PA", "FA", "R")
Ends = tuple[str, int, str, int]  # source, port, destination, port


@lru_cache(1 << 12)
def sample(protocol: str, ends: Ends, side: int, flags: str = "") -> Sample:
    """A packet; ICMP: an echo request, or with flags "reply" its answer, the identifier being the source port."""
    source, port, destination, other = ends
    over: dict[str, Callable[[], Packet]] = {
        "tcp": lambda: TCP(sport=port, dport=other, flags=flags),
        "udp": lambda: UDP(sport=port, dport=other) / Raw(b"x"),
        "icmp": lambda: ICMP(type=0 if flags == "reply" else 8, id=port) / Raw(b"p"),
    }
    frame = bytes(Ether(**MACS) / IP(src=source, dst=destination) / over[protocol]())
    name = f"{protocol} {source}:{port} to {destination}:{other} {flags}"
    return Sample(name, frame, side, f"{protocol} {ends}")


@lru_cache(1 << 12)
def error_about(frame: bytes, side: int) -> Sample:
    """A router's complaint about a packet that has left, to its sender."""
    quoted = Ether(frame)[IP]
    answer = Ether(**MACS) / IP(src="192.0.2.99", dst=quoted.src) / ICMP(type=3, code=3) / quoted
    return Sample(f"error about {quoted.summary()}", bytes(answer), side, f"error {quoted.summary()}", quotes=True)


def answer_to(journey: Journey, value: int) -> Sample:
    """What the receiver of a packet that has left sends back."""
    packet = describe(journey.leaves, 0, 0)[2]
    (source, port), (destination, other) = ends_of(packet)
    protocol = {1: "icmp", 6: "tcp", 17: "udp"}[Ether(journey.leaves)[IP].proto]
    if value % 8 == 7:
        return error_about(journey.leaves, journey.way)
    flags = {"tcp": ("SA", "SA", "A", "PA", "FA", "R")[value % 6], "icmp": "reply", "udp": ""}[protocol]
    return sample(protocol, (destination, other, source, port), journey.way, flags)


def nat_opening(value: int) -> Sample:
    """Of six inner endpoints, one of which has a port of its own."""
    host, value = f"10.0.0.{value % 3 + 1}", value // 3
    port = 5000 + value % 2 * 2
    protocol = ("udp", "udp", "udp", "tcp", "tcp", "icmp")[value // 2 % 6]
    remote = 53 if protocol == "udp" else 80
    ends = (host, port, REMOTE, port if protocol == "icmp" else remote)
    return sample(protocol, ends, INSIDE, FLAGS[value // 12 % len(FLAGS)] if protocol == "tcp" else "")


def nat_stray(value: int) -> Sample:
    """From outside, to a port of the pool that may have nobody behind it."""
    port = PORTS[0] + value % 5
    if value % 2:
        return sample("udp", (REMOTE, 53, OUTER, port), OUTSIDE)
    return sample("tcp", (REMOTE, 80, OUTER, port), OUTSIDE, FLAGS[value // 5 % len(FLAGS)])


def balancer_opening(value: int) -> Sample:
    """Of two clients, each with one port for two services."""
    client, value = f"198.51.100.{value % 2 + 1}", value // 2
    ends = (client, 4000, VIRTUAL, (80, 443)[value % 2])
    return sample("tcp", ends, OUTSIDE, FLAGS[value // 2 % len(FLAGS)])


def balancer_stray(value: int) -> Sample:
    """From a server that may have no such client."""
    ends = (SERVERS[value % 3], 8080, f"198.51.100.{value % 2 + 1}", 4000)
    return sample("tcp", ends, INSIDE, FLAGS[value // 6 % len(FLAGS)])


@cache
def nat_subject(filtering: str) -> PairSubject:
    """One external address with four ports."""
    pool = [{"addresses": OUTER, "ports": "{}-{}".format(*PORTS)}]
    return PairSubject(Nat, [nat_config(pool=pool, filtering=filtering)])


@cache
def balancer_subject(on_server_down: str) -> PairSubject:
    """Two services on the same servers; in later versions of the tables one of the servers is down."""
    pool: list[dict[str, Any]] = [{"address": server, "port": 8080} for server in SERVERS]
    more = {"address": VIRTUAL, "servers": pool, "affinity": "source", "on_server_down": on_server_down}
    services = [{"name": name, "ports": [port], **more} for name, port in (("web", 80), ("tls", 443))]
    whole = BalancerConfig.model_validate({"services": services, "other_traffic": "drop"})
    down = [[one.identity for one in backends(whole) if str(one.server.address) == server] for server in ("", *SERVERS)]
    return PairSubject(LoadBalancer, [whole.informed(down=lost) for lost in down])
