"""Is what several engines did with the packets of one flow what one baseline instance could have done?

`Explanation` searches for an order of the packets (docs/model.md, invariant (a)): each after those that had left when
it arrived, and after those ahead of it in its pipe; the plain form of the function must give every outcome in turn, and
the record that the store holds in the end. An unchanged FORWARD may lag by `stale_us`. Packets that the engine dropped
under a name of its own, and those of a killed instance, may have counted once or not at all. A record may expire while
a packet is under way, and may have been refreshed by a packet that was forwarded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

CLOCK_MS = 2  # a record may live so much longer in the store, or shorter


class Outcome(NamedTuple):
    """What became of a packet, or what one run of the function says should."""

    verdict: str  # "forward" or a drop reason of the function
    report: int  # value of its event, -1: none


class Run(NamedTuple):
    outcome: Outcome
    record: bytes
    lifetime: int  # ms


@dataclass(slots=True)
class Observed:
    """One packet of a flow. Ticks count the world's turns; an outcome of None: it may have counted, or not."""

    token: int
    pipe: int
    outcome: Outcome | None
    arrived: int  # tick
    arrived_us: int
    ended: int  # tick
    ended_us: int
    now: int  # ms, as the engine gave it to the function
    ordered: bool = True  # keeps its place in the pipe; not a fragment

    @property
    def waited_ms(self) -> int:
        """It was judged at some moment within this time; of what may count at any time, for ever."""
        return (self.ended_us - self.arrived_us) // 1000


class State(NamedTuple):
    record: bytes
    earliest: int  # ms: the deadline lies between
    latest: int


Process = Callable[[Observed, bytes], Run]


class Explanation:
    """The search. `nothing`: the record of a flow that is not there; `final`: the store's, None: it has none."""

    def __init__(
        self, packets: Sequence[Observed], process: Process, nothing: bytes, stale_us: int, final: bytes | None
    ) -> None:
        self._packets = packets
        self._process = process
        self._nothing = nothing
        self._stale_us = stale_us
        self._final = final
        self._final_ms = 0
        self._dead: set[tuple[int, State]] = set()
        self.order: list[int] = []  # tokens, if there is one

    def exists(self, final_ms: int) -> bool:
        """True if there is an order; `final_ms`: when `final` was read."""
        self._final_ms = final_ms
        return self._search(0, State(self._nothing, 0, 0))

    def _search(self, placed: int, state: State) -> bool:
        if (placed, state) in self._dead:
            return False
        if self._complete(placed) and self._ends_well(state):
            return True
        for index, packet in enumerate(self._packets):
            if placed >> index & 1:
                continue
            for following in self._place(placed, packet, state):
                if self._search(placed | 1 << index, following):
                    self.order.insert(0, packet.token)
                    return True
        self._dead.add((placed, state))
        return False

    def _complete(self, placed: int) -> bool:
        return all(placed >> i & 1 or packet.outcome is None for i, packet in enumerate(self._packets))

    def _ends_well(self, state: State) -> bool:
        if self._final is not None:
            return state.record == self._final
        return state.record == self._nothing or self._final_ms >= state.earliest - CLOCK_MS

    def _place(self, placed: int, packet: Observed, state: State) -> list[State]:
        """The states that `packet` may lead to, if it comes next."""
        found = []
        for begin in self._beginnings(packet, state):
            run = self._process(packet, begin.record)
            idle = run.record == begin.record and run.outcome.verdict == "forward"
            if packet.outcome not in (None, run.outcome) or not self._may_come(placed, packet, idle):
                continue
            deadline = packet.now + run.lifetime
            latest = deadline + packet.waited_ms + CLOCK_MS
            if run.record != begin.record:
                found.append(State(run.record, deadline, latest))
            else:
                found.append(begin._replace(latest=max(begin.latest, latest)) if idle else begin)
        return found

    def _beginnings(self, packet: Observed, state: State) -> list[State]:
        if state.record == self._nothing:
            return [state]
        begin = [state] if packet.now <= state.latest else []
        if packet.now + packet.waited_ms >= state.earliest - CLOCK_MS:
            begin.append(State(self._nothing, 0, 0))
        return begin

    def _may_come(self, placed: int, packet: Observed, idle: bool) -> bool:
        """All that must come before it has come."""
        for index, other in enumerate(self._packets):
            if placed >> index & 1 or other is packet or other.outcome is None:
                continue
            in_front = other.pipe == packet.pipe and other.token < packet.token and other.ordered and packet.ordered
            if idle and self._stale_us > 0:
                had_left = other.ended_us + self._stale_us < packet.arrived_us
            else:
                had_left = other.ended < packet.arrived
            if had_left or in_front:
                return False
        return True
