"""What one instance writes: the commits of groups, of pairs and of refreshes (rules 3 to 6, 9 and 12).

Guarantees that both keys of a pair are written by one request, and that no cache entry of a key which a commit touches
is usable afterwards. The kinds of commit: creation (no key may hold anything), `same` (both keys hold the old record),
`anew` (the old record has expired, or its flow moves: the new partner's key must be free, or hold a dead record).
"""

from __future__ import annotations

from .functions import DROP, FORWARD, PARK, Outcome, partner
from .messages import Commit, Fetch, Leave, Read, Record, Touch, Write
from .moment import Flight
from .outstanding import EMPTY, Outstanding

ALWAYS = 1000  # a time at which every record is past its deadline


class Committer(Outstanding):
    """The part of an instance that writes."""

    # Rules 3 and 4: the group's commit.

    def commit(self, key: int, record: Record | None, group: tuple[int, ...], outcomes: tuple[Outcome, ...],
               waiting: tuple[int, ...], flight: Flight) -> None:  # fmt: skip
        """Hold `group` and commit what it made of `record`. Frames to be released are read first (rule 9)."""
        me = self.world.instances[self.who]
        state, arrived = outcomes[-1].state, self.world.packets[group[0]].arrived
        counted = (p for p, o in zip(group, outcomes, strict=True) if o.verdict != DROP)
        now = max(self.world.packets[p].arrived for p in counted)
        new = Record(state, (self.who, me.counter), now + self.function.lifetime(state))
        anew = record is not None and record.deadline <= arrived
        flight = flight._replace(phase="commit", group=group, waiting=waiting, outcomes=outcomes)
        flight = self.written(key, record, new, now, anew, flight)
        self.world.change(self.who, counter=me.counter + 1)
        released = tuple(n for n in self.released(outcomes) if n not in self.parked(flight))
        if released:
            self.set_flight(key, flight._replace(phase="fetch"))
            self.world.send(self.who, Fetch(released, not self.on("9-release"), self.world.clock))
        else:
            self.send_commit(key, flight)

    # Rule 5: both keys of a pair at once.

    def written(self, key: int, record: Record | None, new: Record, now: int, anew: bool, flight: Flight) -> Flight:
        """Which keys the commit writes, with what condition each, and the partner that it leaves."""
        before = () if record is None or anew else partner(self.function, key, record.state)
        after = partner(self.function, key, new.state)
        fresh = self.function.timed if record is None else anew or before != after
        over = now if fresh else None
        if not self.on("5-dead" if fresh else "5-same") and record is not None:
            over = ALWAYS
        writes = (Write(key, record, new), *(Write(k, record, new, over) for k in after))
        held = record if self.on("5-left-old") else None
        left = tuple(Leave(k, held) for k in before if k not in after and self.on("5-left"))
        return flight._replace(writes=writes, left=left)

    def send_commit(self, key: int, flight: Flight) -> None:
        """SET IFEQ GET, NX GET, MSETEX NX or a Function; behind it the read that fills the cache."""
        self.set_flight(key, flight)
        for k in flight.touched() if self.on("12-partner") else (key,):
            self.set_cache(k, None)
        released = self.released(flight.outcomes)
        parked = tuple(n for n in self.parked(flight) if n not in released) if self.on("9-park") else EMPTY
        clock, blind = self.world.clock, not self.on("4")
        if self.on("5"):
            self.world.send(self.who, Commit(flight.writes, flight.left, parked, blind, clock))
        else:  # a pair as two commands: the own key, and the other one after it
            for w in flight.writes:
                self.world.send(self.who, Commit((w,), (), parked, blind, clock))
        if self.scenario.cache and self.on("12"):
            self.world.send(self.who, Read((key,), True, True, clock))

    def released(self, outcomes: tuple[Outcome, ...]) -> tuple[int, ...]:
        """Numbers of the parked frames that these outcomes let go."""
        return tuple(n for o in outcomes for n in o.release)

    def parked(self, flight: Flight) -> tuple[int, ...]:
        """Numbers of the group's packets that are to be parked."""
        numbers = (self.scenario.packets[p].number for p in flight.group)
        return tuple(n for n, o in zip(numbers, flight.outcomes, strict=True) if o.verdict == PARK)

    # Rule 6: a new deadline is a commit, of both keys of a pair.

    def due(self, record: Record, packet: int) -> bool:
        """An eighth (here: one tick) of the lifetime is gone."""
        return self.world.packets[packet].arrived + self.function.lifetime(record.state) > record.deadline

    def must_refresh(self, record: Record | None, outcome: Outcome, packet: int) -> bool:
        """Less than an eighth (here: one tick) left: packets are held for it."""
        if record is None or outcome.state is None or outcome.verdict != FORWARD or not self.scenario.refreshes:
            return False
        close = record.deadline - self.world.packets[packet].arrived <= 1
        return self.on("6") and close and self.due(record, packet)

    def refresh(self, key: int, record: Record | None, packets: list[int]) -> None:
        """With an empty group: nobody waits for it, and a refusal only brings the winner's record."""
        if not self.scenario.refreshes or not packets or record is None or not self.due(record, packets[-1]):
            return
        me, now = self.world.instances[self.who], self.world.packets[packets[-1]].arrived
        new = record._replace(nonce=(self.who, me.counter), deadline=now + self.function.lifetime(record.state))
        if not self.on("6"):
            self.world.send(self.who, Touch(key, new.deadline, self.world.clock))
            if me.cache[key] is not None:
                self.set_cache(key, record._replace(deadline=new.deadline))
            return
        self.world.change(self.who, counter=me.counter + 1)
        self.send_commit(key, self.written(key, record, new, now, False, Flight("commit", EMPTY)))
