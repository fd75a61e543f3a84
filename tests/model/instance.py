"""One instance: the commit protocol and the cache, as an executable specification.

Here is what happens to packets before they are held (rules 1 to 3 and 14); commits.py has what is written, replies.py
what the answers do. A rule that can be switched off is asked for by its number through `on`, where it acts.
"""

from __future__ import annotations

from .commits import Committer
from .functions import FORWARD, Outcome
from .messages import Read, Record
from .moment import Flight
from .outstanding import EMPTY


class Sender(Committer):
    """What an instance asks. `fresh` packets: a request was sent, or a commit carried them, after they came."""

    # Rule 1: one thing outstanding for each key; later packets wait behind, in order.

    def arrive(self, packet: int) -> None:
        """A packet was received."""
        self.world.arrive(packet, self.who)
        key = self.function.key(self.scenario.packets[packet])
        me = self.world.instances[self.who]
        flight, cached = me.flights[key], me.cache[key]
        if flight is not None:
            self.set_flight(key, flight._replace(waiting=(*flight.waiting, packet)))
        elif cached is not None and self.usable(cached):
            self.run(key, cached, EMPTY, (packet,), me.trusted, Flight("run", EMPTY))
        else:
            self.look_up(key, (packet,), Flight("run", EMPTY))

    def look_up(self, key: int, group: tuple[int, ...], flight: Flight, phase: str = "look") -> None:
        """Read the key for all packets that are here."""
        self.set_flight(key, flight._replace(phase=phase, group=group, waiting=EMPTY))
        self.world.send(self.who, Read((key,), self.scenario.cache, False, self.world.clock))

    def usable(self, cached: Record) -> bool:
        """Not past its deadline, and the connection was heard of within stale_limit."""
        return cached.deadline > self.world.clock and self.trusts(self.world.instances[self.who].trusted)

    def trusts(self, sent: int) -> bool:
        """Rule 14: a record justifies FORWARD unchanged for stale_limit after an answered request was sent."""
        limit = self.scenario.stale_limit if self.on("14") else None
        return self.scenario.cache and (limit is None or self.world.clock - sent <= limit)

    def final(self, packet: int, outcome: Outcome, fresh: tuple[int, ...], sent: int) -> bool:
        """Rule 2: only FORWARD unchanged may rest on a record that was read before the packet came."""
        if not self.on("2"):
            return True
        return packet in fresh or (outcome.verdict == FORWARD and self.trusts(sent))

    def run(self, key: int, record: Record | None, fresh: tuple[int, ...], stale: tuple[int, ...], sent: int,
            flight: Flight, most: int = 99) -> None:  # fmt: skip
        """Run the packets in turn on a working copy of `record`; hold, commit, release or look up again."""
        queue, held, outcomes, passed = fresh + stale, list[int](), list[Outcome](), list[int]()
        working = None if record is None else record.state
        nonce = (self.who, self.world.instances[self.who].counter)
        for index, packet in enumerate(queue):
            before = working
            if not held and record is not None and record.deadline <= self.world.packets[packet].arrived:
                before = None  # past its deadline: absent
            outcome = self.function.process(self.scenario.packets[packet], before, flight.attempt)
            changed = outcome.state != before
            if held and not changed and not self.on("3"):
                self.world.release(packet, outcome, nonce, False)
            elif held or changed or self.must_refresh(record, outcome, packet):  # rule 3: from here on all are held
                if len(held) == most:
                    self.commit(key, record, tuple(held), tuple(outcomes), queue[index:], flight)
                    return
                held.append(packet)
                outcomes.append(outcome)
                working = outcome.state
            elif self.final(packet, outcome, fresh, sent):
                self.world.release(packet, outcome, record.nonce if record else None, False)
                passed += [packet] if outcome.verdict == FORWARD else []
            else:
                self.look_up(key, queue[index:], flight)
                return
        if held:
            self.commit(key, record, tuple(held), tuple(outcomes), EMPTY, flight)
            return
        self.set_flight(key, None)
        self.refresh(key, record, passed)

    def look_up_or_end(self, key: int, flight: Flight) -> None:
        """Go on with those who wait, if anybody does."""
        if flight.waiting:
            self.look_up(key, flight.waiting, flight)
        else:
            self.set_flight(key, None)
