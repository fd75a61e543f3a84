"""The mapping log over the engine and a real store: what the engine tells of a session that begins, and what stands in
the store when it ends, name the same mapping.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import valkey
from scapy.layers import inet
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from duty_play import Told
from statelessnf import _engine
from statelessnf.builder import build
from statelessnf.duties.mapping_log import MappingLog
from statelessnf.events import event_document
from statelessnf.functions.nat import Nat
from statelessnf.pipe_options import pipe_options
from statelessnf.store_access import OpenStore, open_store

pytestmark = pytest.mark.beside

POOL = [{"addresses": ["203.0.113.1", "2001:db8:1::1"]}]
WEB = {"protocol": "udp", "external": "203.0.113.1", "ports": "80", "inner": "10.0.0.80", "inner_port": 8080}
INSIDE, OUTSIDE = 0, 1
PATIENCE = 60.0  # seconds; a busy machine


def datagram(source: str, destination: str) -> Packet:
    ip = IPv6 if ":" in source else inet.IP
    layer: Packet = Ether() / ip(src=source, dst=destination)
    return layer


@contextmanager
def opened(host: Told, folder: Path) -> Iterator[tuple[_engine.Pipe, OpenStore]]:
    with open_store(host.deployment, folder) as store:
        assert store is not None
        pipe = _engine.Pipe(pipe_options(host.deployment, build(Nat), store.access))
        deadline = time.monotonic() + PATIENCE
        while not pipe.available() and time.monotonic() < deadline:
            pipe.step()
        yield pipe, store


def events_of(pipe: _engine.Pipe, frame: Packet, side: int) -> list[tuple[bytes, int, int, bytes]]:
    """What is told of a frame, which leaves."""
    assert pipe.inject(bytes(frame), side, 1)
    deadline = time.monotonic() + PATIENCE
    while not pipe.collect():
        assert time.monotonic() < deadline, pipe.stats()["drops"]
        pipe.step()
    return pipe.events()


def stored_flow(store: OpenStore) -> tuple[tuple[bytes, ...], bytes]:
    """The only one: its keys and its record."""
    with valkey.Valkey(unix_socket_path=store.url.path) as client:
        keys = [name for name in client.scan_iter() if name[8:9] == b"f"]
        [value] = {client.get(name) for name in keys}
    return tuple(keys), value


@pytest.mark.parametrize(
    ("section", "side", "frame", "says"),
    [
        (
            {},
            INSIDE,
            datagram("10.0.0.1", "198.51.100.7") / inet.UDP(sport=40000, dport=53),
            "udp 10.0.0.1:40000 203.0.113.1:40000 198.51.100.7:53",
        ),
        (
            {"filtering": "address"},
            INSIDE,
            datagram("10.0.0.1", "198.51.100.7") / inet.TCP(sport=40000, dport=443, flags="S"),
            "tcp 10.0.0.1:40000 203.0.113.1:40000 198.51.100.7",
        ),
        (
            {"filtering": "endpoint-independent"},
            INSIDE,
            datagram("10.0.0.1", "198.51.100.7") / inet.UDP(sport=40000, dport=53),
            "udp 10.0.0.1:40000 203.0.113.1:40000",
        ),
        (
            {},
            INSIDE,
            datagram("fd00::1", "2001:db8:2::1") / inet.UDP(sport=40000, dport=53),
            "udp [fd00::1]:40000 [2001:db8:1::1]:40000 [2001:db8:2::1]:53",
        ),
        (
            {},
            INSIDE,
            datagram("10.0.0.1", "198.51.100.7") / inet.ICMP(id=77),
            "icmp 10.0.0.1:77 203.0.113.1:77 198.51.100.7",
        ),
        (
            {"forwards": [WEB]},
            OUTSIDE,
            datagram("198.51.100.7", "203.0.113.1") / inet.UDP(sport=5000, dport=80),
            "udp 10.0.0.80:8080 203.0.113.1:80 198.51.100.7:5000",
        ),
        (
            {"forwards": [WEB]},
            INSIDE,
            datagram("10.0.0.1", "203.0.113.1") / inet.UDP(sport=40000, dport=80),
            "udp 10.0.0.1:40000 203.0.113.1:40000 10.0.0.80:8080",
        ),
    ],
)
def test_creation_and_deletion_name_the_same(
    section: dict[str, Any], side: int, frame: Packet, says: str, tmp_path: Path
) -> None:
    host = Told("nat", {"pool": POOL, "log": True, **section}, "embedded")
    log = MappingLog(host, 7)
    with opened(host, tmp_path) as (pipe, store):
        [(header, code, value, record)] = events_of(pipe, frame, side)
        document = log.created(event_document(header, code, value, Nat, record), header, record)
        log.deleted(*stored_flow(store))
    assert document["id"] == says
    assert [each["id"] for each in host.documents] == [says]
