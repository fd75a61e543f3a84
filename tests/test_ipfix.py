"""IPFIX messages, taken apart by scapy's decoder; what a collector may be; the sender over UDP."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from typing import Any

import pytest
from scapy.layers.netflow import NetflowDataflowsetV9, NetflowHeader, netflowv9_defragment

from statelessnf.functions.nat_collector import parse_collector
from statelessnf.ipfix import LONGEST, RESEND, Encoder, Exporter, Mapping, nat_event

pytestmark = pytest.mark.beside

NOW = 1_700_000_000.25
IPV4 = Mapping(
    True,
    1_700_000_000_123,
    6,
    (ip_address("10.0.0.1"), 40000),
    (ip_address("203.0.113.1"), 40001),
    (ip_address("198.51.100.7"), 443),
)
BINDING = IPV4._replace(remote=None)
IPV6 = Mapping(
    False,
    1_700_000_000_456,
    17,
    (ip_address("fd00::1"), 5000),
    (ip_address("2001:db8::1"), 5001),
    (ip_address("2001:db8:ffff::53"), 53),
)


def decoded(messages: list[bytes]) -> list[dict[str, Any]]:
    """The records of a stream of messages that begins with its templates."""
    packets = netflowv9_defragment([NetflowHeader(message) for message in messages], verb=0)
    found = []
    for packet in packets:
        layer = packet
        while layer:
            if isinstance(layer, NetflowDataflowsetV9):
                found += [{field: record.getfieldval(field) for field in record.fields} for record in layer.records]
            layer = layer.payload
    return found


def test_a_decoder_reads_what_was_told() -> None:
    messages = list(Encoder(7).messages([IPV4, BINDING, IPV6], NOW, with_templates=True))
    assert len(messages) == 1
    version, length, exported, sequence, domain = struct.unpack_from("!HHIII", messages[0])
    assert (version, length, exported, sequence, domain) == (10, len(messages[0]), 1_700_000_000, 0, 7)
    session, binding, other = decoded(messages)
    assert session == {
        "observationTimeMilliseconds": 1_700_000_000_123,
        "natEvent": b"\x04",
        "PROTOCOL": 6,
        "IPV4_SRC_ADDR": "10.0.0.1",
        "postNATSourceIPv4Address": "203.0.113.1",
        "L4_SRC_PORT": 40000,
        "postNAPTSourceTransportPort": (40001).to_bytes(2),
        "IPV4_DST_ADDR": "198.51.100.7",
        "L4_DST_PORT": 443,
    }
    assert binding["natEvent"] == b"\x08"
    assert not {"IPV4_DST_ADDR", "L4_DST_PORT"} & binding.keys()
    assert other == {
        "observationTimeMilliseconds": 1_700_000_000_456,
        "natEvent": b"\x02",
        "PROTOCOL": 17,
        "IPV6_SRC_ADDR": "fd00::1",
        "postNATSourceIPv6Address": "2001:db8::1",
        "L4_SRC_PORT": 5000,
        "postNAPTSourceTransportPort": (5001).to_bytes(2),
        "IPV6_DST_ADDR": "2001:db8:ffff::53",
        "L4_DST_PORT": 53,
    }


def test_a_deletion_is_the_event_behind_its_creation() -> None:
    """RFC 8158 §4.3."""
    events = [(nat_event(each), nat_event(each._replace(created=False))) for each in (IPV4, BINDING)]
    assert events == [(4, 5), (8, 9)]
    assert [nat_event(IPV6._replace(created=created)) for created in (True, False)] == [1, 2]


def test_many_records_go_in_messages_that_fit_a_packet() -> None:
    mappings = [each._replace(time=number) for number in range(500) for each in (IPV4, IPV6, BINDING)]
    encoder = Encoder(7)
    messages = list(encoder.messages(mappings, NOW, with_templates=True))
    assert max(map(len, messages)) <= LONGEST
    assert min(map(len, messages[:-1])) > LONGEST - 100
    records = decoded(messages)
    assert [record["observationTimeMilliseconds"] for record in records] == [each.time for each in mappings]
    sequences = [struct.unpack_from("!I", message, 8)[0] for message in messages]
    assert sequences[0] == 0
    counts = [len(decoded([messages[0], message])) - len(decoded([messages[0]])) for message in messages[1:]]
    assert sequences[2:] == [sequences[1] + sum(counts[:i]) for i in range(1, len(counts))]
    [further] = encoder.messages([IPV4], NOW, with_templates=False)
    assert struct.unpack_from("!I", further, 8)[0] == len(mappings)


def test_the_sequence_number_wraps() -> None:
    encoder = Encoder(7)
    encoder._sequence = (1 << 32) - 1
    numbers = [
        struct.unpack_from("!I", message, 8)[0]
        for _ in range(2)
        for message in encoder.messages([IPV4, IPV4], NOW, with_templates=False)
    ]
    assert numbers == [(1 << 32) - 1, 1]


def test_nothing_to_send_is_no_message() -> None:
    assert list(Encoder(7).messages([], NOW, with_templates=False)) == []


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("udp://192.0.2.1:4739", "192.0.2.1", 4739),
        ("udp://192.0.2.1", "192.0.2.1", 4739),
        ("udp://192.0.2.1:1", "192.0.2.1", 1),
        ("udp://[2001:db8::1]:9996", "2001:db8::1", 9996),
        ("udp://[2001:db8::1]", "2001:db8::1", 4739),
    ],
)
def test_collectors(text: str, address: str, port: int) -> None:
    assert parse_collector(text) == (ip_address(address), port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2.1:4739",
        "tcp://192.0.2.1:4739",
        "udp://",
        "udp://:4739",
        "udp://collector.example:4739",
        "udp://192.0.2.1:0",
        "udp://192.0.2.1:65536",
        "udp://192.0.2.1:",
        "udp://192.0.2.1:-1",
        "udp://192.0.2.1:4739/x",
        "udp://192.0.2.1:\u0663",
        "udp://2001:db8::1",
        "udp://[192.0.2.1]:4739",
        "udp://[2001:db8::1",
        "udp://2001:db8::1]:4739",
        "udp://[[2001:db8::1]]:4739",
        "udp://[fe80::1%eth0]",
        "udp://192.0.2.256",
        "udp://192.0.2.1:47390000",
    ],
)
def test_what_is_no_collector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no collector; write one such as 'udp://192"):
        parse_collector(text)


def test_templates_are_sent_first_and_again() -> None:
    now = [1000.0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(10)
        exporter = Exporter((ip_address("127.0.0.1"), collector.getsockname()[1]), 7, lambda: now[0])
        received = []
        for after in (0.0, 1.0, RESEND - 1.0, 1.0):
            now[0] += after
            exporter.send([IPV4])
            received.append(collector.recv(2000))
        now[0] -= 5000  # the clock was set back
        exporter.send([])
        received.append(collector.recv(2000))
        exporter.send([])
        exporter.send([BINDING])
        received.append(collector.recv(2000))
        exporter.close()
    assert [struct.unpack_from("!H", message, 16)[0] == 2 for message in received] == [
        True,
        False,
        True,
        False,
        True,
        False,
    ]
    assert len(decoded(received)) == 5


def test_what_does_not_leave_is_counted() -> None:
    exporter = Exporter((ip_address("255.255.255.255"), 4739), 7)  # broadcast, which a plain socket may not send
    exporter.send([IPV4])
    exporter.send([IPV4])
    assert exporter.unsent == 2
    exporter.close()
