"""Two small network functions whose flows stand under one key, and what all functions have (pairs.py: two keys).

Each is the least that can show what a rule of the protocol is for.
All are idempotent as rule 8 asks: process(p, process(p, s).state) gives the same verdict and rewriting. A state of None
is "no record". They are pure: the same `process` serves the instances of the model and the baseline of its invariants.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from .messages import State

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
    timed: bool  # its flows have timers, so a Function creates its pairs, not MSETEX

    def key(self, packet: Packet) -> int:
        """The key that this packet's record stands under."""

    def process(self, packet: Packet, state: State, attempt: int) -> Outcome:
        """Pure; `attempt` counts refused creations (packet.attempt)."""

    def lifetime(self, state: State) -> int:
        """Ticks from a packet to the deadline that it gives to a record in `state`."""

    def places(self, state: State) -> tuple[int, ...]:
        """The keys that a record in `state` names: all of them hold it."""


def partner(function: Function, key: int, state: State) -> tuple[int, ...]:
    """The other key, where a record in `state` under `key` is that of a pair."""
    return tuple(k for k in function.places(state) if k != key)


class Firewall:
    """One flow, one key: none -> syn -> est -> closed. A closed flow answers nothing until its short deadline."""

    keys = 1
    timed = False

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

    def places(self, state: State) -> tuple[int, ...]:
        return (0,)


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
