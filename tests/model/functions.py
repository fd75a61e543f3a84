"""Three small network functions, each the least that can show what a rule of the protocol is for.

All are idempotent as rule 8 asks: process(p, process(p, s).state) gives the same verdict and rewriting. A state of None
is "no record". They are pure: the same `process` serves the instances of the model and the baseline of its invariants.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from .store import State

FORWARD, DROP, PARK = "forward", "drop", "park"


class Packet(NamedTuple):
    """`kind` says what it is to its function; `number`: flow, outer port or sequence number."""

    kind: str
    number: int = 0


class Outcome(NamedTuple):
    """What `process` answers. `rewrite`: the port or flow that a NAT writes into the packet. `release`: numbers of
    parked packets that leave with this one."""

    verdict: str
    state: State
    rewrite: int = 0
    release: tuple[int, ...] = ()


class Function(Protocol):
    """A network function as the model's engine and baseline see it."""

    keys: int

    def key(self, packet: Packet) -> int:
        """The key that this packet's record stands under."""

    def process(self, packet: Packet, state: State, attempt: int) -> Outcome:
        """Pure; `attempt` counts refused creations (packet.attempt)."""

    def lifetime(self, state: State) -> int:
        """Ticks from a packet to the deadline that it gives to a record in `state`."""

    def partner(self, key: int, state: State) -> tuple[int, State] | None:
        """The second key of a pair and its state, where the record is half of a pair."""


class Firewall:
    """One flow, one key: none -> syn -> est -> closed. A closed flow answers nothing until its short deadline."""

    keys = 1

    def key(self, packet: Packet) -> int:
        return 0

    def process(self, packet: Packet, state: State, attempt: int) -> Outcome:
        allowed: dict[str, dict[State, State]] = {
            "syn": {None: "syn", "syn": "syn", "est": "est"},
            "synack": {"syn": "est", "est": "est"},
            "data": {"est": "est"},
            "rst": {"syn": "closed", "est": "closed", "closed": "closed"},
        }
        if state in allowed[packet.kind]:
            return Outcome(FORWARD, allowed[packet.kind][state])
        return Outcome(DROP, state)

    def lifetime(self, state: State) -> int:
        return 1 if state == "closed" else 3

    def partner(self, key: int, state: State) -> tuple[int, State] | None:
        return None


class Nat(Firewall):
    """Keys 0 and 1: the inner keys of flows 0 and 1; 2 and 3: outer ports 0 and 1. Both flows would like port 0."""

    keys = 4

    def key(self, packet: Packet) -> int:
        return packet.number if packet.kind == "out" else 2 + packet.number

    def process(self, packet: Packet, state: State, attempt: int) -> Outcome:
        if isinstance(state, tuple) and isinstance(state[1], int):
            return Outcome(FORWARD, state, state[1])
        if packet.kind == "in" or attempt > 1:
            return Outcome(DROP, state)
        return Outcome(FORWARD, ("port", attempt), attempt)

    def partner(self, key: int, state: State) -> tuple[int, State] | None:
        if isinstance(state, tuple) and isinstance(state[1], int) and state[0] == "port":
            return 2 + state[1], ("flow", key)
        return None


class Reassembly(Firewall):
    """State: ("next", expected sequence number, parked numbers). Packets leave in the order of their numbers."""

    def process(self, packet: Packet, state: State, attempt: int) -> Outcome:
        expected, parked = 1, frozenset[int]()
        if isinstance(state, tuple) and isinstance(state[1], int) and isinstance(state[2], frozenset):
            expected, parked = state[1], state[2]
        if packet.number < expected:
            return Outcome(FORWARD, state)
        if packet.number > expected:
            return Outcome(PARK, ("next", expected, parked | {packet.number}))
        expected += 1
        while expected in parked:
            expected += 1
        release = tuple(sorted(n for n in parked if n < expected))
        return Outcome(FORWARD, ("next", expected, parked - set(release)), 0, release)
