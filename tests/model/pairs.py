"""Network functions whose flows stand under two keys, and hold the same record under both: it names both.

Inner key: that of packets from the inside; outer key: that of packets from the outside. Either side's packets may
change the record: a `fin` from the inside that an `ack` from the outside confirms closes it.
"""

from __future__ import annotations

from typing import NamedTuple

from .functions import DROP, FORWARD, Firewall, Outcome, Packet
from .messages import State

INNER = ("out", "fin", "move")
PORTS = 2


class Pair(NamedTuple):
    """State of both keys. `phase`: open, fin, closed."""

    flow: int
    port: int
    phase: str


class Nat(Firewall):
    """Keys 0 and 1: the inner keys of flows 0 and 1; 2 and 3: outer ports 0 and 1. Both flows would like port 0."""

    keys = 2 + PORTS

    def key(self, packet: Packet) -> int:
        return packet.number if packet.kind in INNER else 2 + packet.number

    def places(self, state: State) -> tuple[int, ...]:
        return (state.flow, 2 + state.port) if isinstance(state, Pair) else ()

    def process(self, packet: Packet, state: State, attempt: int) -> Outcome:
        if isinstance(state, Pair):
            return self.follow(packet, state)
        if packet.kind != "out" or attempt >= PORTS:
            return Outcome(DROP, state)
        return Outcome(FORWARD, Pair(packet.number, attempt, "open"), attempt)

    def follow(self, packet: Packet, pair: Pair) -> Outcome:
        """A packet of a flow that exists."""
        phases = {
            "fin": {"open": "fin", "fin": "fin", "closed": "closed"},
            "ack": {"fin": "closed", "closed": "closed"},
        }.get(packet.kind, {"open": "open", "fin": "fin"})
        if pair.phase not in phases:
            return Outcome(DROP, pair)
        rewrite = pair.port if packet.kind in INNER else pair.flow
        return Outcome(FORWARD, pair._replace(phase=phases[pair.phase]), rewrite)

    def lifetime(self, state: State) -> int:
        return 2 if isinstance(state, Pair) and state.phase == "closed" else 3


class Balancer(Nat):
    """Flows are clients, ports are servers' keys of them. A `move` takes a live flow to server 1 if it can."""

    timed = True

    def process(self, packet: Packet, state: State, attempt: int) -> Outcome:
        outcome = super().process(packet, state, attempt)
        if packet.kind == "move" and outcome.verdict == FORWARD and isinstance(state, Pair) and attempt == 0:
            return Outcome(FORWARD, state._replace(port=1), 1)
        return outcome
