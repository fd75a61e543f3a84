"""The other half of an instance: what replies, pushes and a lost connection do to it (rules 2, 4, 5, 7, 9, 12, 13).

`Engine` is the whole instance. Messages are taken in wire order, one an event.
"""

from __future__ import annotations

from .functions import Outcome
from .instance import Sender
from .messages import Commit, Fetch, KeepFrames, Nonce, Push, Read, Record, Reply
from .moment import Doubt, Flight
from .outstanding import EMPTY


class Engine(Sender):
    """One instance: sends, and takes what comes back."""

    # Replies and pushes, in wire order (rule 13).

    def deliver(self) -> None:
        """The oldest reply or push of the connection comes in."""
        message, *rest = self.world.instances[self.who].replies
        self.world.change(self.who, replies=tuple(rest))
        if isinstance(message, Push):
            self.set_cache(message.key, None)
            return
        trusted = max(self.world.instances[self.who].trusted, message.request.sent)
        self.world.change(self.who, trusted=trusted)
        match message.request:
            case Read(refill=True):
                self.on_refill(message, message.request)
            case Read():
                self.on_look(message, message.request)
            case Fetch():
                self.on_fetch(reply=message)
            case Commit():
                self.on_commit(message, message.request)
            case _:
                pass  # a PING's answer has done its work above

    def on_refill(self, reply: Reply, read: Read) -> None:
        """Rule 12: only the reply of a tracked read fills the cache, unless a later commit of ours is under way."""
        for key, record in zip(read.keys, reply.records, strict=True):
            self.fill(key, record)

    def on_look(self, reply: Reply, read: Read) -> None:
        """The record, or absence."""
        key, record = read.keys[0], reply.records[0]
        flight = self.flight(key)
        if read.tracked:
            self.fill(key, record)
        if record is None and flight.phase == "again":
            flight = flight._replace(attempt=flight.attempt + 1)  # rule 5: so it was the other key that was taken
        group, flight = self.resolve(record, flight, flight.group)
        self.run(key, record, group, flight.waiting, read.sent, flight)

    def on_fetch(self, reply: Reply) -> None:
        """Rule 9: the frames were read; now the commit that lets them go. A missing one is not released."""
        key, flight = self.committing("fetch")[0]
        here = reply.frames + self.parked(flight)
        found = (o._replace(release=tuple(n for n in o.release if n in here)) for o in flight.outcomes)
        self.send_commit(key, flight._replace(phase="commit", outcomes=tuple(found)))

    def on_commit(self, reply: Reply, commit: Commit) -> None:
        """Rule 4: done, or the record that stands there instead."""
        nonce = commit.writes[0].new.nonce
        mine = [k for k, f in self.committing("commit") if f.writes[0].new.nonce == nonce]
        if not mine:
            return  # of a pair sent as two commands (rule 5 off), the first was refused
        key, flight = mine[0], self.flight(mine[0])
        if reply.done:
            last = commit.writes[-1].key == flight.writes[-1].key
            if last:
                self.on_written(key, flight, commit)
            return
        flight = flight._replace(conflicts=flight.conflicts + 1)
        if flight.conflicts > self.scenario.most_conflicts:
            self.give_up(key, flight)
        elif reply.records:
            self.on_conflict(key, flight, reply.records[0], commit.sent)
        else:
            self.on_partner(key, flight, commit.sent)

    def give_up(self, key: int, flight: Flight) -> None:
        """The group is dropped under a name."""
        for packet in flight.group:
            self.world.name_drop(packet)
        self.look_up_or_end(key, flight._replace(group=EMPTY, conflicts=0, doubt=None))

    def on_conflict(self, key: int, flight: Flight, record: Record | None, sent: int) -> None:
        """The own key holds something else: again on that, half as many at a time."""
        group, flight = self.resolve(record, flight, flight.group)
        most = max(1, len(group) // 2) if group and flight.doubt is None else 99
        self.run(key, record, group, flight.waiting, sent, flight, most)

    def on_partner(self, key: int, flight: Flight, sent: int) -> None:
        """Rule 5: the other key refused a pair; or one of them its creation, and the own key tells which."""
        own, other = flight.writes[0], flight.writes[-1]
        if own.old is None and other.over is None and self.on("5-own"):
            self.look_up(key, flight.group + flight.waiting, flight, "again")
        elif own.old is not None and other.over is None:
            self.on_broken(key, flight, own.old)
        else:
            flight = flight._replace(attempt=flight.attempt + 1)
            self.run(key, own.old, flight.group, flight.waiting, sent, flight)

    def on_broken(self, key: int, flight: Flight, record: Record) -> None:
        """The other key is gone or another flow's: the pair has expired since the packets came, else (f) is broken."""
        if record.deadline > self.world.clock:
            self.world.violations.append(f"(f) the live pair of key {key} is broken")
        self.give_up(key, flight)

    def on_written(self, key: int, flight: Flight, commit: Commit) -> None:
        """The group leaves; those behind run on the record just written, which is a read as old as the commit."""
        record = flight.writes[0].new
        self.set_free(flight.group, flight.outcomes, record.nonce)
        if not self.on("12") and self.scenario.cache:
            self.set_cache(key, record)
        if not self.on("9-park") and self.parked(flight):
            self.world.send(self.who, KeepFrames(self.parked(flight), True, self.world.clock))
        self.run(key, record, EMPTY, flight.waiting, commit.sent, Flight("run", EMPTY))

    def set_free(self, group: tuple[int, ...], outcomes: tuple[Outcome, ...], nonce: Nonce) -> None:
        """Carry out what was buffered; released frames are deleted last (rule 9)."""
        for packet, outcome in zip(group, outcomes, strict=True):
            self.world.release(packet, outcome, nonce, True)
        released = self.released(outcomes)
        if released and self.on("9-release"):
            self.world.send(self.who, KeepFrames(released, False, self.world.clock))

    # Rule 7: unknown outcome.

    def reconnect(self) -> None:
        """The loss is noticed: no entry is usable, and whatever was outstanding is looked up."""
        self.world.abandon(self.who)
        me = self.world.instances[self.who]
        self.world.change(self.who, cut=False, cache=(None,) * self.function.keys)
        for key, flight in enumerate(me.flights):
            if flight is not None:
                self.recover(key, flight)

    def recover(self, key: int, flight: Flight) -> None:
        """The nonce of the record that stands there will tell whether the commit happened."""
        if flight.phase == "commit":
            own = flight.writes[0]
            doubt = Doubt(own.new.nonce, own.old, flight.group, flight.outcomes)
            if not self.on("7-trust"):
                self.set_free(doubt.group, doubt.outcomes, doubt.nonce)
                self.look_up_or_end(key, flight._replace(group=EMPTY))
                return
            flight = flight._replace(doubt=doubt if self.on("7-again") else None)
        everybody = flight.group + flight.waiting
        if everybody:
            self.look_up(key, everybody, flight)
        else:
            self.set_flight(key, None)

    def resolve(self, record: Record | None, flight: Flight, group: tuple[int, ...]) -> tuple[tuple[int, ...], Flight]:
        """Our nonce stands there, by a look-up or by a conflict with our own late commit: release what was computed."""
        doubt = flight.doubt
        if doubt is None:
            return group, flight
        if record is not None and record.nonce == doubt.nonce:
            self.set_free(doubt.group, doubt.outcomes, doubt.nonce)
            return group[len(doubt.group) :], flight._replace(doubt=None)
        if record == doubt.old:
            return group, flight  # not yet, but it may still come: then our next commit is refused by our own nonce
        for packet in doubt.group:
            self.world.packets[packet] = self.world.packets[packet]._replace(twice=True)
        return group, flight._replace(doubt=None)
