"""Several real engines over the simulated store, every delay, order and loss chosen by the test.

The world has one clock. A pipe's step, the store's turns and the delivery of replies are moves of their own; links are
cut with requests or replies lost, or with requests left to be executed late; instances die and are born again. Each
packet's arrival, end and outcome are written down, and `problems` collects what must never happen on the way:
a packet that is changed, out of order, or gone before its commit was acknowledged. `settle` ends all harm.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from engine_oracle import Observed, Outcome
from statelessnf._engine import Pipe, describe
from statelessnf.packet import PACKET
from statelessnf.store.simulated import SimulatedServer
from statelessnf.store.simulated_link import Link

DEPLOYMENT, SECRET = 7, 11
STALE_MS = 400
ENVELOPE = 17  # bytes of a stored record before the function's fields (engine/record.hpp); the last 8: its deadline
TURN_US = 60  # more than the engine lets pass between two looks for invalidations
NEVER = 1 << 62
PATIENCE = 200  # rounds until nothing may be in flight but later fragments without their first ones,
ORPHANS_CALMS = 10  # which may for that many times half a second more
GENERATED = (1 << 64) - 1  # the engine's own token


class Sample(NamedTuple):
    """A packet that can be sent: its frame, the side it comes from, the flow it belongs to."""

    name: str
    frame: bytes
    side: int
    flow: str
    fragment: bool = False  # looks its datagram up first, so others of its flow may overtake it
    quotes: bool = False  # an ICMP error: about a packet that went the other way


@dataclass(slots=True)
class Journey:
    """A packet under way, and then at its end."""

    sample: Sample
    token: int
    pipe: int  # number of the incarnation that has it
    arrived: int = NEVER  # tick
    arrived_us: int = 0
    now: int = 0  # ms
    ended: int = NEVER
    ended_us: int = NEVER
    verdict: str = ""  # "forward", a drop reason, "killed"
    certain: bool = False  # the function has decided
    report: int = -1  # value of its event
    turn: int = NEVER  # the store's latest when it arrived
    leaves: bytes = b""  # as it left
    way: int = -1  # side on which it left

    def observed(self) -> Observed:
        outcome = Outcome(self.verdict, self.report) if self.certain else None
        ended = (self.ended, self.ended_us) if self.certain else (NEVER, NEVER)
        arrived = (self.arrived, self.arrived_us)
        return Observed(self.token, self.pipe, outcome, *arrived, *ended, self.now, not self.sample.fragment)


@dataclass(slots=True)
class Node:
    """One incarnation of an instance: a pipe and its connection."""

    number: int
    pipe: Pipe
    link: Link
    replies: deque[tuple[int, bytes]] = field(default_factory=deque)  # (turn, bytes), not yet delivered
    heard: int = 0  # the store's latest turn of which the reply has come
    under_way: dict[int, Journey] = field(default_factory=dict)
    left: dict[tuple[str, int], int] = field(default_factory=dict)  # highest token that left, by flow and side


class Write(NamedTuple):
    """A commit that took place."""

    turn: int
    writer: int  # incarnation
    key: bytes
    fields: bytes


# (a packet that left, the commits so far of its incarnation that have been acknowledged) -> what is wrong with it
Release = Callable[[Journey, Sequence[Write]], str]


class World:
    """`options`: those of a pipe, without link and store. `reasons`: the function's drop reasons."""

    def __init__(
        self,
        options: Mapping[str, Any],
        reasons: Sequence[str],
        nodes: int,
        release: Release,
        server: SimulatedServer | None = None,
    ) -> None:
        limits = {"packets": 256, "flows": 64, "flights": 32, "queue": 64, "stale_ms": STALE_MS}
        self._options = {"link": True, "deployment": DEPLOYMENT, "secret": SECRET, "limits": limits, **options}
        self._options |= {"frames": 256, "frame_size": 2048, "captured": 1024, "events": 1024}
        self._options["store"] = {"address": "unix:/nowhere", "stale_ms": STALE_MS}
        self._reasons, self._release = reasons, release
        self.server = server or SimulatedServer()
        self._start_us = self.server.now_us - 1_000_000_000
        self.tick = self.turn = 0
        self.journeys: list[Journey] = []
        self.writes: list[Write] = []
        self.problems: list[str] = []
        self._dead: list[Link] = []  # cut, with commands that may still be executed
        self._writers: dict[int, int] = {}  # incarnation by link
        self._born = 0
        self.nodes = [self._bear() for _ in range(nodes)]

    @property
    def now_us(self) -> int:
        """Monotonic clock of all instances."""
        return self.server.now_us - self._start_us

    @property
    def now_ms(self) -> int:
        return self.server.now_us // 1000

    # Moves.

    def send(self, index: int, sample: Sample) -> None:
        """A packet arrives; it is received in the instance's next step."""
        node = self.nodes[index]
        journey = Journey(sample, len(self.journeys), node.number)
        assert node.pipe.inject(sample.frame, sample.side, journey.token)
        self.journeys.append(journey)
        node.under_way[journey.token] = journey

    def step(self, index: int) -> None:
        """One step of an instance; its requests are on their way at once."""
        node = self.nodes[index]
        self.tick += 1
        self.server.advance(TURN_US)
        for journey in node.under_way.values():
            if journey.arrived == NEVER:
                journey.arrived, journey.arrived_us, journey.now = self.tick, self.now_us, self.now_ms
                journey.turn = self.turn
        node.pipe.set_clock(self.now_ms)  # the store's, to the millisecond: records hold it
        node.pipe.step(self.now_us)
        self._take(node)
        node.link.send(node.pipe.link_output())

    def serve(self, index: int, commands: int) -> None:
        """The store executes up to so many of an instance's commands."""
        while commands > 0 and self._execute(self.nodes[index].link):
            commands -= 1

    def serve_late(self) -> None:
        """A command that a dead connection left behind is executed."""
        for link in self._dead:
            self._execute(link)

    def deliver(self, index: int, count: int) -> None:
        """Up to so many pieces of what the store sent reach an instance."""
        node = self.nodes[index]
        for _ in range(min(count, len(node.replies))):
            node.heard, piece = node.replies.popleft()
            node.pipe.link_input(piece)

    def round(self, index: int) -> None:
        """A step, and everything that it asked for."""
        self.step(index)
        self.serve(index, NEVER)
        self.deliver(index, NEVER)

    def cut(self, index: int, late: bool) -> None:
        """The connection breaks: replies are lost; requests, too, or they are executed late."""
        node = self.nodes[index]
        node.link.cut(lose_commands=not late)
        self._dead.append(node.link)
        node.replies.clear()
        node.pipe.link_lost(self.now_us)
        self.step(index)

    def connect(self, index: int) -> None:
        """Where there is no connection that works, a new one, its handshake done."""
        node = self.nodes[index]
        if node.pipe.available():
            return
        if node.link.alive:
            self.cut(index, late=True)
        node.link = self.server.connect()
        self._writers[node.link.number] = node.number
        node.pipe.link_connected(self.now_us)
        node.link.send(node.pipe.link_output())
        self.serve(index, NEVER)
        self.deliver(index, NEVER)
        self.step(index)
        assert node.pipe.available(), node.pipe.last_error()

    def crash(self, index: int) -> None:
        """An instance dies with all that it has, and another takes its place."""
        node = self.nodes[index]
        for journey in node.under_way.values():
            journey.verdict = "killed"
        node.link.cut(lose_commands=False)
        self._dead.append(node.link)
        self.nodes[index] = self._bear()

    def wait(self, microseconds: int) -> None:
        self.server.advance(microseconds)

    def limit_memory(self, limit: int | None) -> None:
        """Bytes of records beyond which the store refuses every write; None: no limit."""
        self.server.memory_limit = limit

    def calm(self) -> None:
        """Half a second in which nothing comes, and connections that work are kept alive."""
        for _ in range(5):
            self.wait(STALE_MS * 250)
            for index in range(len(self.nodes)):
                self.round(index)

    def _at_rest(self) -> bool:
        return all(node.pipe.idle() for node in self.nodes) and not any(link.commands for link in self._dead)

    def _finish(self) -> None:
        """What takes no more than answers of the store comes to its end."""
        for _ in range(PATIENCE):
            for index in range(len(self.nodes)):
                self.connect(index)
                self.round(index)
            self.serve_late()
            if self._at_rest():
                break

    def settle(self) -> None:
        """No more harm; everything that is in flight comes to its end, or that is a problem."""
        self.server.memory_limit = None
        self._finish()
        for _ in range(ORPHANS_CALMS):
            if not self._at_rest():
                self.calm()
                self._finish()
        for journey in self.journeys:
            if not journey.verdict:
                self.problems.append(f"{journey.sample.name} is still in flight")

    def record(self, key: bytes) -> bytes | None:
        """The fields of a record that the store holds and that has not expired."""
        value = self.server.values.get(key)
        live = value is not None and int.from_bytes(value[9:ENVELOPE], "little") >= self.now_ms
        return value[ENVELOPE:] if live and value is not None else None

    # What happens.

    def _bear(self) -> Node:
        self._born += 1
        node = Node(self._born, Pipe(self._options), self.server.connect())
        node.link.cut()
        self.nodes = [*getattr(self, "nodes", []), node]
        self.connect(len(self.nodes) - 1)
        return self.nodes.pop()

    def _execute(self, link: Link) -> bool:
        """One turn of the store, and who is told what by it."""
        if not link.commands:
            return False
        words = link.commands[0]
        before = self.server.values.get(words[1]) if words[0] == b"SET" else None
        self.turn += 1
        full = self.server.memory_limit is not None and self.server.used_memory() > self.server.memory_limit
        self.server.step(link)
        if words[0] == b"SET" and not full and (words[4] if words[3] == b"IFEQ" else None) == before:
            self.writes.append(Write(self.turn, self._writers[link.number], words[1], words[2][ENVELOPE:]))
        self._gather()
        return True

    def _gather(self) -> None:
        for node in self.nodes:
            if piece := node.link.receive():
                node.replies.append((self.turn, piece))

    def _take(self, node: Node) -> None:
        self._gather()
        ended = []
        for token, way, frame in node.pipe.collect():
            if token != GENERATED:
                node.under_way[token].way, node.under_way[token].leaves = way, frame
                ended.append((token, "forward", True))
        for token, reason, own, _ in node.pipe.dropped():
            decided = reason in ("denied", "function_error")
            ended.append((token, self._reasons[own] if reason == "denied" and own >= 0 else reason, decided))
        journeys = {token: self._end(node, token, verdict, certain) for token, verdict, certain in ended}
        self._report(node, list(journeys.values()))
        for journey in journeys.values():
            if journey.certain and (problem := self._judge(node, journey)):
                self.problems.append(f"{journey.sample.name}: {problem}")

    def _judge(self, node: Node, journey: Journey) -> str:
        """What is wrong with the end that a packet has come to, as the function decided."""
        known = [write for write in self.writes if write.writer == node.number and write.turn <= node.heard]
        return self._release(journey, known)

    def _end(self, node: Node, token: int, verdict: str, certain: bool) -> Journey:
        journey = node.under_way.pop(token)
        journey.verdict, journey.certain = verdict, certain
        journey.ended, journey.ended_us = self.tick, self.now_us
        sample = journey.sample
        if verdict == "forward" and not sample.fragment:
            if node.left.get((sample.flow, sample.side), -1) > token:
                self.problems.append(f"{sample.name} was overtaken")
            node.left[sample.flow, sample.side] = token
        return journey

    def _report(self, node: Node, ended: list[Journey]) -> None:
        """Events come with the packets that they are about; TCP sequence numbers tell which."""
        for record, _, value, _ in node.pipe.events():
            sequence = np.frombuffer(record, PACKET)["sequence"][0]
            about = [journey for journey in ended if packet_of(journey.sample)["sequence"][0] == sequence]
            if not about:
                self.problems.append(f"event {value} about {sequence}, which has not left")
            for journey in about:
                journey.report = value


def packet_of(sample: Sample) -> np.ndarray[Any, Any]:
    """The packet record of a sample, shape (1,), without clock."""
    packet = np.frombuffer(describe(sample.frame, DEPLOYMENT, SECRET)[2], PACKET).copy()
    packet["direction"] = sample.side
    return packet


def key_of(sample: Sample) -> bytes:
    """The key under which the record of a sample's flow is stored."""
    return describe(sample.frame, DEPLOYMENT, SECRET)[1]
