"""Several real engines with a function that rewrites, over a simulated store; what each packet did is judged.

Beside what engine_world.py says, `problems` collects: a packet whose end no record explains that its instance could
have read between the packet's arrival and its end (so a change that left before its commit, a packet translated for
another flow, or not at all); a commit that is no run of the function on the record that it replaced; a record that does
not stand under both of its keys; two flows that leave as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from engine_world import NEVER, STALE_MS, Journey, Node, World
from nat_play import Endpoint
from pairs_chronicle import FOR_EVER, TAG, Chronicle, Stood
from pairs_subject import PairSubject, Ran, deadline, ends_of, leaves, partner, received
from statelessnf._engine import describe
from statelessnf.packet import OUTBOUND
from statelessnf.store.simulated_link import Link

Step = tuple[int, str, Any]  # a packet's token, its verdict, source and destination as it leaves
MOST_ATTEMPTS = 66  # more than any function makes
INSIDE, OUTSIDE = "10.", 1


class PairsWorld(World):
    """`versions[n]`: when incarnation n got which version of the tables: (turn, index)."""

    def __init__(self, subject: PairSubject, mode: str, nodes: int) -> None:
        self.subject, self._mode = subject, mode
        self._carried: dict[bytes, set[Step]] = {}  # by value written: what may be behind it
        self._owners: dict[bytes, tuple[bytes, Endpoint]] = {}  # by outer key: inner key and endpoint of who left last
        self.versions: dict[int, list[tuple[int, int]]] = {}
        self.departures: dict[bytes, Journey] = {}  # by frame as it left: who may be answered
        reasons = subject.function.drop_reasons
        super().__init__({**subject.options, "mode": mode}, reasons, nodes, lambda _journey, _known: "", Chronicle())

    @property
    def chronicle(self) -> Chronicle:
        """The store."""
        return cast(Chronicle, self.server)

    def swap(self, index: int, version: int) -> None:
        """An instance gets other tables."""
        node, tables = self.nodes[index], self.subject.tables[version]
        node.pipe.swap_tables(tables.tables, tables.rules)
        self.versions.setdefault(node.number, [(0, 0)]).append((self.turn, version))

    # What the store does.

    def _execute(self, link: Link) -> bool:
        self.chronicle.turn = self.turn + 1
        self.chronicle.fresh.clear()
        before = dict(self.server.values)
        done = super()._execute(link)
        if self.server.values != before:
            self._whole()
        self._lawful(link)
        return done

    def _whole(self) -> None:
        """Each record that lives stands under both of its keys (protocol.md, rule 5)."""
        values = {key[TAG:]: value for key, value in self.server.values.items()}
        for key, value in values.items():
            if deadline(value) >= self.now_ms and values.get(partner(key, value)) != value:
                self.problems.append(f"the pair of {key.hex()} is broken")

    def _lawful(self, link: Link) -> None:
        """What was written is what packets that had come to its writer make of what stood there."""
        by_value: dict[bytes, list[Stood]] = {}
        for stood in self.chronicle.fresh:
            by_value.setdefault(stood.value, []).append(stood)
        for value, written in by_value.items():
            befores = {stood.before for stood in written if stood.before is not None}
            alive = {before for before in befores if deadline(before) >= self.now_ms}
            if len(alive) > 1:
                self.problems.append("a flow's record was overwritten by another flow's")
            keys, writer = {stood.key for stood in written}, self._writers[link.number]
            bases = {self.subject.fields(before) for before in befores} | (
                {self.subject.nothing} if not alive else set()
            )
            runs = [self._reached(writer, keys, base).get(self.subject.fields(value)) for base in bases]
            if not any(run is not None for run in runs):
                self.problems.append(f"no packet made {self.subject.row(value)} of {bases}")
            self._carried[value] = set().union(*(run for run in runs if run is not None))

    def _reached(self, writer: int, keys: set[bytes], base: bytes) -> dict[bytes, set[Step]]:
        """The records that packets of one instance may have made, in the order of their arrival, some left out."""
        reached: dict[bytes, set[Step]] = {base: set()}
        for journey in self.journeys:
            packet = received(journey.sample, journey.now)
            if journey.pipe != writer or journey.arrived == NEVER or self.subject.key(packet) not in keys:
                continue
            for record, steps in list(reached.items()):
                for ran in self._runs(journey, writer, record):
                    step = (journey.token, ran.verdict, leaves(ran))
                    reached.setdefault(ran.record, set()).update(steps | {step})
        return reached

    def _runs(self, journey: Journey, writer: int, record: bytes) -> Iterator[Ran]:
        packet = received(journey.sample, journey.now)
        for version in self._had(writer, journey.turn):
            for attempt in range(MOST_ATTEMPTS):
                ran = self.subject.run(version, packet, attempt, record)
                yield ran
                if ran.verdict != "forward" or ran.record == record:
                    break

    def _had(self, writer: int, since: int) -> list[int]:
        """Versions of the tables that an incarnation had in or after a turn."""
        swaps = self.versions.get(writer, [(0, 0)])
        return sorted({one for i, (_, one) in enumerate(swaps) if i + 1 == len(swaps) or swaps[i + 1][0] >= since})

    # What instances do.

    def _judge(self, node: Node, journey: Journey) -> str:
        packet = received(journey.sample, journey.now)
        if journey.verdict != "forward":
            return self._explain_dropped(node, journey, packet)
        left = ends_of(describe(journey.leaves, 0, 0)[2])
        if journey.way != 1 - journey.sample.side:
            return "left where it came from"
        if journey.way == OUTSIDE and left[0][0].startswith(INSIDE):
            return f"left untranslated, from {left[0]}"
        return self._explain_left(node, journey, packet, left) or self._alone(journey, packet)

    def _is_behind(self, node: Node, journey: Journey, key: bytes, step: Step) -> bool:
        """A commit of its own instance, acknowledged, may have been made by this packet."""
        written = self.chronicle.written(key, journey.turn, node.heard)
        return any(step in self._carried[each.value] for each in written if self._writers[each.writer] == node.number)

    def _explain_left(self, node: Node, journey: Journey, packet: bytes, left: Any) -> str:
        if self._is_behind(node, journey, self.subject.key(packet), (journey.token, "forward", left)):
            return ""
        for stood in self._readable(node, journey, packet):
            for version in self._had(node.number, journey.turn):
                ran = self.subject.run(version, packet, 0, self.subject.fields(stood.value))
                if ran.record == self.subject.fields(stood.value) and leaves(ran) == left:
                    return ""
        return f"left as {left}, and no record says so that was there and acknowledged"

    def _readable(self, node: Node, journey: Journey, packet: bytes) -> Iterator[Stood]:
        """Records that the instance may have gone by: what it had cached may lag."""
        stale_us = journey.arrived_us + self._start_us - STALE_MS * 1000 if self._mode == "tracked" else FOR_EVER
        return self.chronicle.stood(self.subject.key(packet), journey.turn, node.heard, stale_us)

    def _explain_dropped(self, node: Node, journey: Journey, packet: bytes) -> str:
        key, until = self.subject.key(packet), node.heard
        versions = self._had(node.number, journey.turn)
        if self._is_behind(node, journey, key, (journey.token, journey.verdict, None)):
            return ""
        stood = list(self.chronicle.stood(key, journey.turn, until))
        for each in stood:
            fields = self.subject.fields(each.value)
            runs = [self.subject.run(version, packet, 0, fields) for version in versions]
            if any((ran.verdict, ran.record) == (journey.verdict, fields) for ran in runs):
                return ""
        absent = self.chronicle.was_absent(key, journey.turn, until)
        absent = absent or any(deadline(each.value) < journey.now for each in stood)
        if absent and any(self._refused(version, node, journey, packet) for version in versions):
            return ""
        return f"dropped as {journey.verdict}, and no record says so"

    def _refused(self, version: int, node: Node, journey: Journey, packet: bytes) -> bool:
        """A flow that was not there was refused as the function would, each candidate before having been taken."""
        key = self.subject.key(packet)
        since = min(
            other.turn
            for other in self.journeys[: journey.token + 1]
            if other.pipe == node.number
            and other.ended >= journey.arrived
            and self.subject.key(received(other.sample, other.now)) == key
        )
        for attempt in range(MOST_ATTEMPTS):
            ran = self.subject.run(version, packet, attempt, self.subject.nothing)
            if ran.verdict != "forward":
                return ran.verdict == journey.verdict
            if not any(self.chronicle.stood(self.subject.key(ran.sent), since, node.heard)):
                return False
        return False

    def _alone(self, journey: Journey, packet: bytes) -> str:
        """Nobody else lives who has left as this one does (invariant (c)), whatever the store says."""
        sample = journey.sample
        if sample.quotes:
            return ""
        self.departures[journey.leaves] = journey
        if sample.side != OUTBOUND:
            return ""
        sent = describe(journey.leaves, 0, 0)[2]
        outer, inner, source = self.subject.key(sent), self.subject.key(packet), ends_of(packet)[0]
        other, other_source = self._owners.get(outer, (inner, source))
        self._owners[outer] = inner, source
        values = {key[TAG:]: value for key, value in self.server.values.items()}
        if other_source != source and other in values and partner(other, values[other]) == outer:
            return f"{source} and {other_source} both leave as {ends_of(sent)}"
        return ""
