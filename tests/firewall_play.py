"""Plays packets against the firewall's plain form: one flow, one record, as the engine would keep it.

`Play.tcp` and its siblings say "forward" or the name of the drop reason, and count how often the record changed
(commits). A record whose lifetime has passed counts as absent; a drop leaves the record as it was.
"""

from ipaddress import ip_network
from typing import Any

import numpy as np

from statelessnf.fields import Fields
from statelessnf.function import plain_tables, run_plain, table_arrays
from statelessnf.functions.firewall import Firewall
from statelessnf.functions.rule_match import LinearRules
from statelessnf.networks import mapped
from statelessnf.packet import ACK, FORWARD, ICMP, NO_WINDOW_SCALE, PACKET, TCP, UDP

INSIDE = mapped(ip_network("10.0.0.1"))[0]
OUTSIDE = mapped(ip_network("192.0.2.1"))[0]


def allow_all(**more: Any) -> Firewall.Config:
    return Firewall.Config.model_validate({"rules": [{"action": "allow"}], **more})


class Play:
    """One flow. Side 0 sends outbound from 10.0.0.1, side 1 inbound from 192.0.2.1."""

    def __init__(self, config: Firewall.Config | None = None) -> None:
        self.config = config or allow_all()
        self.tables = plain_tables(
            Firewall, table_arrays(Firewall, self.config), LinearRules(Firewall.rules(self.config))
        )
        self.row = np.zeros(1, Firewall.record)
        self.now = 1_700_000_000_000
        self.deadline = 0
        self.commits = 0
        self.effects: list[tuple[int, int]] = []  # (kind, argument) of the last packet

    @property
    def record(self) -> Any:
        return Fields(self.row[0])

    @property
    def lifetime(self) -> int:
        return int(Firewall.lifetime(self.record, self.tables))

    def packet(self, side: int, **fields: Any) -> Any:
        """One element of PACKET from `side`."""
        packet = np.zeros(1, PACKET)[0]
        ends = (OUTSIDE, INSIDE) if side else (INSIDE, OUTSIDE)
        for end, address in zip(("source", "destination"), ends, strict=True):
            packet[f"{end}_high"], packet[f"{end}_low"] = divmod(address, 1 << 64)
        ports = (443, 40000) if side else (40000, 443)
        packet["source_port"], packet["destination_port"] = ports
        packet["version"], packet["window_scale"] = 4, NO_WINDOW_SCALE
        packet["direction"], packet["from_low"], packet["now"] = side, 1 - side, self.now
        for name, value in fields.items():
            packet[name] = value
        return packet

    def run(self, packet: Any) -> str:
        """Verdict on a packet, with what the engine does about the record."""
        if self.now >= self.deadline:
            self.row[:] = np.zeros(1, Firewall.record)
        outcome = run_plain(Firewall, packet, self.row[0], self.tables)
        assert not outcome.fault
        taken = packet["effects"][: packet["effect_count"]].tolist()
        self.effects = [(effect >> 24, effect & 0xFFFFFF) for effect in taken]
        changed = outcome.record.tobytes() != self.row.tobytes()
        if outcome.verdict != FORWARD:
            assert not changed, "a drop changed the record"
            return Firewall.drop_reasons[(outcome.verdict >> 8) - 1]
        self.commits += changed
        self.row = outcome.record
        self.deadline = self.now + outcome.lifetime
        return "forward"

    def tcp(
        self, side: int, flags: int, seq: int, ack: int = 0, length: int = 0, window: int = 65535, **more: Any
    ) -> str:
        """A TCP segment; `seq` and `ack` modulo 2^32."""
        numbers = {"sequence": seq % 2**32, "acknowledgement": ack % 2**32, "sack": ack % 2**32 if flags & ACK else 0}
        fields = {"protocol": TCP, "tcp_flags": flags, "payload_length": length, "window": window}
        return self.run(self.packet(side, **{**fields, **numbers, **more}))

    def udp(self, side: int, **more: Any) -> str:
        return self.run(self.packet(side, protocol=UDP, **more))

    def icmp(self, side: int, icmp_type: int, identifier: int = 7, **more: Any) -> str:
        ports = {"source_port": identifier, "destination_port": identifier}
        return self.run(self.packet(side, protocol=ICMP, icmp_type=icmp_type, **ports, **more))
