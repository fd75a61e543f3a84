"""One instance: the commit protocol and the cache, as an executable specification.

Here is what an instance asks of the store: look-ups, commits, refreshes (rules 1 to 6, 9, 12, 14); replies.py has what
it does with the answers. A rule that can be switched off is asked for by its number through `on`, where it acts. The
instance acts on a `World`; it knows the store only through requests and replies, and never another instance.
"""

from __future__ import annotations

from .functions import DROP, FORWARD, PARK, Outcome
from .store import Commit, Fetch, Read, Record, Touch, Write
from .world import Flight, World

EMPTY: tuple[int, ...] = ()


class Sender:
    """What instance `who` sends. `fresh` packets: a request was sent, or a commit carried them, after they came."""

    def __init__(self, world: World, who: int) -> None:
        self.world, self.who = world, who
        self.scenario, self.function = world.scenario, world.scenario.function

    def on(self, rule: str) -> bool:
        """Is this rule in force?"""
        return rule not in self.scenario.off

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

    def look_up(self, key: int, group: tuple[int, ...], flight: Flight, partner: tuple[int, ...] = ()) -> None:
        """Read the key (and a pair's other key) for all packets that are here."""
        self.set_flight(key, flight._replace(phase="look", group=group, waiting=EMPTY))
        self.world.send(self.who, Read((key, *partner), self.scenario.cache, False, self.world.clock))

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

    # Rules 3 and 4: the group's commit.

    def commit(self, key: int, record: Record | None, group: tuple[int, ...], outcomes: tuple[Outcome, ...],
               waiting: tuple[int, ...], flight: Flight) -> None:  # fmt: skip
        """Hold `group` and commit what it made of `record`. Frames to be released are read first (rule 9)."""
        me = self.world.instances[self.who]
        state, nonce = outcomes[-1].state, (self.who, me.counter)
        counted = (p for p, o in zip(group, outcomes, strict=True) if o.verdict != DROP)
        now = max(self.world.packets[p].arrived for p in counted)
        new = Record(state, nonce, now + self.function.lifetime(state))
        writes: tuple[tuple[int, Record | None, Record], ...] = ((key, record, new),)
        partner = self.function.partner(key, state)
        if partner is not None:
            writes += ((partner[0], None, new._replace(state=partner[1])),)
        self.world.change(self.who, counter=me.counter + 1)
        flight = flight._replace(phase="commit", group=group, waiting=waiting, outcomes=outcomes, writes=writes)
        released = tuple(n for n in self.released(outcomes) if n not in self.parked(flight))
        if released:
            self.set_flight(key, flight._replace(phase="fetch"))
            self.world.send(self.who, Fetch(released, not self.on("9-release"), self.world.clock))
        else:
            self.send_commit(key, flight)

    def send_commit(self, key: int, flight: Flight) -> None:
        """SET IFEQ GET, NX GET, MSETEX NX or the Function of rule 9; behind it the read that fills the cache."""
        self.set_flight(key, flight)
        self.set_cache(key, None)
        released = self.released(flight.outcomes)
        parked = tuple(n for n in self.parked(flight) if n not in released) if self.on("9-park") else EMPTY
        clock, blind = self.world.clock, not self.on("4")
        writes = tuple(Write(*w) for w in flight.writes)
        if self.on("5"):
            self.world.send(self.who, Commit(writes, parked, blind, clock))
        else:  # a pair as two commands: the inner key, and the outer one after it
            for w in writes:
                self.world.send(self.who, Commit((w,), parked, blind, clock))
        if self.scenario.cache and self.on("12"):
            self.world.send(self.who, Read((key,), True, True, clock))

    def released(self, outcomes: tuple[Outcome, ...]) -> tuple[int, ...]:
        """Numbers of the parked frames that these outcomes let go."""
        return tuple(n for o in outcomes for n in o.release)

    def parked(self, flight: Flight) -> tuple[int, ...]:
        """Numbers of the group's packets that are to be parked."""
        numbers = (self.scenario.packets[p].number for p in flight.group)
        return tuple(n for n, o in zip(numbers, flight.outcomes, strict=True) if o.verdict == PARK)

    # Rule 6: a new deadline is a commit.

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
        me = self.world.instances[self.who]
        new = record._replace(
            nonce=(self.who, me.counter),
            deadline=self.world.packets[packets[-1]].arrived + self.function.lifetime(record.state),
        )
        if not self.on("6"):
            self.world.send(self.who, Touch(key, new.deadline, self.world.clock))
            if me.cache[key] is not None:
                self.set_cache(key, record._replace(deadline=new.deadline))
            return
        self.world.change(self.who, counter=me.counter + 1)
        self.send_commit(key, Flight("commit", EMPTY, writes=((key, record, new),)))

    # What is outstanding, and the cache.

    def committing(self, phase: str) -> list[tuple[int, Flight]]:
        """Keys with an outstanding commit, or fetch of frames before it."""
        flights = self.world.instances[self.who].flights
        return [(k, f) for k, f in enumerate(flights) if f is not None and f.phase == phase]

    def look_up_or_end(self, key: int, flight: Flight) -> None:
        """Go on with those who wait, if anybody does."""
        if flight.waiting:
            self.look_up(key, flight.waiting, flight)
        else:
            self.set_flight(key, None)

    def flight(self, key: int) -> Flight:
        """The flight that a reply belongs to."""
        flight = self.world.instances[self.who].flights[key]
        if flight is None:
            raise AssertionError("a reply without a flight")
        return flight

    def set_flight(self, key: int, flight: Flight | None) -> None:
        """Replace what is outstanding for a key."""
        flights = self.world.instances[self.who].flights
        self.world.change(self.who, flights=(*flights[:key], flight, *flights[key + 1 :]))

    def set_cache(self, key: int, record: Record | None) -> None:
        """Replace a cache entry."""
        if self.scenario.cache:
            cache = self.world.instances[self.who].cache
            self.world.change(self.who, cache=(*cache[:key], record, *cache[key + 1 :]))
