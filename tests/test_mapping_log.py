"""The mapping log of a NAT: creation and deletion say the same of a mapping, as documents and as IPFIX.

Packets run through the NAT's plain form; the keys under which the flow would stand are the engine's own.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from scapy.layers import inet
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from duty_play import Told
from nat_play import HOST, SERVER, WEB, Endpoint, Play, ends, packet
from statelessnf import _engine
from statelessnf.duties.mapping_log import MappingLog
from statelessnf.errors import ConfigError
from statelessnf.events import event_document
from statelessnf.functions.nat import Nat
from statelessnf.packet import ICMP, INBOUND, OUTBOUND, TCP, UDP
from test_ipfix import decoded

pytestmark = pytest.mark.beside

POOL = {
    "pool": [{"addresses": ["203.0.113.1", "2001:db8:1::1"]}],
    "subscribers": ["10.0.0.0/16", "fd00::/8"],
    "log": True,
}
DEADLINE = 1_700_000_300_000


def frame(protocol: int, source: Endpoint, destination: Endpoint) -> Packet:
    ip = IPv6 if ":" in source[0] else inet.IP
    if protocol == ICMP:
        return Ether() / ip(src=source[0], dst=destination[0]) / inet.ICMP(id=source[1])
    layer: Packet = Ether() / ip(src=source[0], dst=destination[0])
    return layer / inet.UDP(sport=source[1], dport=destination[1])


class Life(NamedTuple):
    """A session's documents, and what the engine and the store would hand over."""

    created: dict[str, Any]
    deleted: dict[str, Any]


def key_of(protocol: int, ends_: tuple[Endpoint, Endpoint]) -> bytes:
    """The engine's, of a UDP or ICMP frame; other protocols have their number in the same place."""
    _, key, _ = _engine.describe(bytes(frame(protocol, *ends_)), 5, 6)
    return key if protocol == ICMP else key[:10] + bytes([protocol]) + key[11:]


def opened(
    log: MappingLog, play: Play, direction: int, protocol: int, *ends_: Endpoint, **fields: Any
) -> dict[str, Any]:
    """The document of the session that a packet opens, and its keys and record."""
    passage = play.run(packet(direction, protocol, *ends_, now=play.now, **fields))
    assert passage.done == "forward"
    record = next(stored.record for stored in play.store.values())
    effect, header = int(passage.sent["effects"][0]), passage.sent.tobytes()
    document = event_document(header, effect >> 16 & 255, effect & 0xFFFF, Nat, record)
    return {
        "document": log.created(document, header, record),
        "keys": (key_of(protocol, ends(passage.received)), key_of(protocol, ends(passage.sent))),
        "value": b"\x01" + bytes(8) + DEADLINE.to_bytes(8, "little") + record + bytes(19),
    }


def life(host: Told, log: MappingLog, direction: int, protocol: int, *ends_: Endpoint, **fields: Any) -> Life:
    """Opens a session and lets it expire."""
    session = opened(log, Play(host.settings), direction, protocol, *ends_, **fields)
    log.deleted(session["keys"], session["value"])
    return Life(session["document"], host.documents[-1])


def log_of(**section: Any) -> tuple[Told, MappingLog]:
    host = Told("nat", {**POOL, **section})
    return host, MappingLog(host, 7)


@pytest.mark.parametrize(
    ("filtering", "remote"),
    [("address-and-port", "198.51.100.7:443"), ("address", "198.51.100.7"), ("endpoint-independent", None)],
)
@pytest.mark.parametrize(("protocol", "name", "flags"), [(TCP, "tcp", 2), (UDP, "udp", 0)])
def test_creation_and_deletion_say_the_same(
    filtering: str, remote: str | None, protocol: int, name: str, flags: int
) -> None:
    host, log = log_of(filtering=filtering)
    created, deleted = life(host, log, OUTBOUND, protocol, HOST, SERVER, tcp_flags=flags)
    assert deleted["event"] == "mapping_deleted"
    assert deleted["time"] == "2023-11-14T22:18:20.000+00:00"
    same = {"protocol": name, "inner": "10.0.0.1:40000", "outer": "203.0.113.1:40000"}
    words = f"{name} 10.0.0.1:40000 203.0.113.1:40000"
    same |= {"id": words} if remote is None else {"id": f"{words} {remote}", "remote": remote}
    assert {key: created[key] for key in same} == same
    assert deleted == {"event": "mapping_deleted", "time": deleted["time"], **same}


def test_ipv6() -> None:
    created, deleted = life(*log_of(), OUTBOUND, UDP, ("fd00::1", 5000), ("2001:db8:2::1", 53))
    assert deleted["id"] == created["id"] == "udp [fd00::1]:5000 [2001:db8:1::1]:5000 [2001:db8:2::1]:53"


def test_of_a_query_the_identifier_is_that_of_the_inner_end() -> None:
    created, deleted = life(*log_of(), OUTBOUND, ICMP, ("10.0.0.1", 77), ("198.51.100.7", 77))
    assert deleted["id"] == created["id"] == "icmp 10.0.0.1:77 203.0.113.1:77 198.51.100.7"


def test_opened_from_outside_through_a_forward() -> None:
    created, deleted = life(*log_of(forwards=[WEB]), INBOUND, TCP, SERVER, ("203.0.113.1", 80), tcp_flags=2)
    assert deleted["id"] == created["id"] == "tcp 10.0.0.80:8080 203.0.113.1:80 198.51.100.7:443"


def test_hairpin() -> None:
    ends_ = (HOST, ("203.0.113.1", 80))
    created, deleted = life(*log_of(forwards=[WEB]), OUTBOUND, TCP, *ends_, tcp_flags=2)
    assert deleted["id"] == created["id"] == "tcp 10.0.0.1:40000 203.0.113.1:40000 10.0.0.80:8080"


def test_without_a_log_deletions_are_not_told() -> None:
    host, log = log_of()
    session = opened(log, Play(host.settings), OUTBOUND, UDP, HOST, SERVER)
    host.settings = Told("nat", {**POOL, "log": False}).settings
    log.deleted(session["keys"], session["value"])
    assert host.documents == []


def test_the_keys_in_the_other_order() -> None:
    host, log = log_of()
    session = opened(log, Play(host.settings), OUTBOUND, UDP, HOST, SERVER)
    log.deleted(session["keys"][::-1], session["value"])
    assert host.documents[-1]["id"] == session["document"]["id"]


def test_events_without_a_record_stay_as_they_are() -> None:
    _, log = log_of()
    document = {"event": "mapping_created"}
    assert log.created(document, bytes(120), b"") is document


@pytest.mark.parametrize("value", [b"", b"\x01" * 20, b"\x02" + bytes(100), b"\x01" + bytes(16) + bytes(10)])
@pytest.mark.parametrize("keys", [(bytes(24),), (bytes(47),), (b"",), (bytes(12),)])
def test_what_cannot_be_read_is_said(keys: tuple[bytes, ...], value: bytes) -> None:
    host, log = log_of()
    log.deleted(keys, value)
    assert host.documents == []
    assert host.said == ["a record that is none of this release's has ended; the mapping log lacks it"]


@pytest.fixture
def collector() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        found.settimeout(10)
        yield found


def test_the_same_goes_to_a_collector(collector: socket.socket) -> None:
    host, log = log_of(ipfix=f"udp://127.0.0.1:{collector.getsockname()[1]}")
    life(host, log, OUTBOUND, UDP, HOST, SERVER)
    log.look()
    created, deleted = decoded([collector.recv(2000)])
    assert (created["natEvent"], deleted["natEvent"]) == (b"\x04", b"\x05")
    assert deleted["observationTimeMilliseconds"] == DEADLINE
    times = ("natEvent", "observationTimeMilliseconds")
    assert {name: created[name] for name in created if name not in times} == {
        name: deleted[name] for name in deleted if name not in times
    }
    assert host.figures == {"ipfix_unsent": 0}
    life(host, log, OUTBOUND, UDP, HOST, SERVER)
    log.close()
    assert len(collector.recv(2000)) > 16


def test_another_collector_by_a_reload(collector: socket.socket) -> None:
    host, log = log_of()
    life(host, log, OUTBOUND, UDP, HOST, SERVER)
    log.look()  # to nobody
    host.settings = Told("nat", {**POOL, "ipfix": f"udp://127.0.0.1:{collector.getsockname()[1]}"}).settings
    log.look()
    assert decoded([collector.recv(2000)]) == []
    life(host, log, OUTBOUND, UDP, HOST, SERVER)
    log.look()
    collector.recv(2000)
    host.settings = Told("nat", POOL).settings
    life(host, log, OUTBOUND, UDP, HOST, SERVER)
    log.look()
    collector.setblocking(False)
    with pytest.raises(BlockingIOError):
        collector.recv(2000)
    log.close()


@pytest.mark.parametrize(
    ("section", "says"),
    [
        (
            {"log": False, "ipfix": "udp://192.0.2.1"},
            "there is no log to send; set log = true",
        ),
        ({"ipfix": "tcp://192.0.2.1"}, "'tcp://192.0.2.1' is no collector; write one such as 'udp://192.0.2.1:4739'"),
        ({"ipfix": 4739}, "nat.ipfix"),
    ],
)
def test_what_cannot_work_is_refused(section: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        log_of(**section)
