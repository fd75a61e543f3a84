"""What functions report of packets (log lines of rules and the like) as one JSON object each."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Any

import numpy as np

from statelessnf.function import Function
from statelessnf.packet import ICMP, ICMPV6, PACKET, SCTP, TCP, UDP

PROTOCOLS = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "icmpv6", SCTP: "sctp"}


def event_document(
    header: bytes, code: int, value: int, function: type[Function], record: bytes = b""
) -> dict[str, Any]:
    """`header`: packet record of 120 bytes; `code`: index into the function's events; `value`: the function's own.

    `record`: the function's fields of the flow's record as the packet left it, empty where they are not known.
    """
    packet = np.frombuffer(header, PACKET)[0]
    protocol = int(packet["protocol"])
    document = {
        "event": function.events[code] if code < len(function.events) else str(code),
        "value": value,
        "time": datetime.fromtimestamp(int(packet["now"]) / 1000, UTC).isoformat(timespec="milliseconds"),
        "direction": "inbound" if packet["direction"] else "outbound",
        "protocol": PROTOCOLS.get(protocol, protocol),
        "source": _address(packet, "source"),
        "destination": _address(packet, "destination"),
        "bytes": int(packet["frame_length"]),
    }
    if record:
        document |= function.describe(np.frombuffer(record, function.record)[0])
    if protocol in (ICMP, ICMPV6):
        return document | {"icmp_type": int(packet["icmp_type"]), "icmp_code": int(packet["icmp_code"])}
    return document | {name: int(packet[name]) for name in ("source_port", "destination_port")}


def _address(packet: Any, end: str) -> str:
    value = int(packet[f"{end}_high"]) << 64 | int(packet[f"{end}_low"])
    address = ipaddress.IPv6Address(value)
    return str(address.ipv4_mapped or address)
