"""Listener, patience and suspicion together, in time that is made up: a beat that nobody read never leads to a
suspicion, and a silent pipe always does, as soon as its limit is over."""

from __future__ import annotations

import asyncio
import socket
from heapq import heapify, heappop, heappush
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statelessnf.bench.simulated.world import SimulatedSwitch
from statelessnf.orchestrator import beat_listener
from statelessnf.orchestrator.beat_listener import BeatListener
from statelessnf.orchestrator.beats import Beat, encode
from statelessnf.orchestrator.patience import Patience
from statelessnf.orchestrator.sightings import Sightings
from statelessnf.orchestrator.state import Entry
from statelessnf.orchestrator.suspicion import Change

BEAT, LIMIT, LATE = 0.005, 0.015, 0.001  # seconds; what timers are late by at most
END = 0.6
INSTANCES, PIPES = 3, 2
TOKENS = [bytes([number]) * 16 for number in range(1, INSTANCES + 1)]


class Story:
    """Instances that beat over a real socket, and one who watches; the clock is `now`."""

    def __init__(self, phases: list[float], lost: set[int], silent: tuple[int, float], late: float) -> None:
        self.now, self.changes, self.last = 0.0, list[tuple[float, Change]](), 0.0
        self._lost, self._silent, self._late = lost, silent, late
        self.sightings = Sightings("edge", {}, SimulatedSwitch(), LIMIT)
        for number, token in enumerate(TOKENS):
            entry = Entry(
                name=f"i{number}", host="h", slot=number, revision=1, token=token.hex(), handle="h", pipes=PIPES
            )
            self.sightings.add(entry, 0.0, adopted=True)
        self.listener = BeatListener(self._heard, TOKENS.__contains__, helped=False)
        self.patience = Patience(self.sightings, self.listener)
        self._due = [(phase * BEAT, sender, 1) for sender, phase in enumerate(phases)]
        heapify(self._due)
        self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def _heard(self, token: bytes, beat: Beat, now: float) -> None:
        if self.sightings.heard(token, beat, now):
            self._look()

    def play(self, reads: list[float]) -> None:
        """Until END; what the pipes count is read at those times, too."""
        with self._sender, self.listener.on("127.0.0.1:0") as address:
            host, _, port = address.rpartition(":")
            self._sender.connect((host, int(port)))
            times = sorted(reads)
            while self.now < END:
                deadline = self.sightings.suspicion.next_deadline + self._late
                read = times[0] if times else END
                self.now = min(deadline, read, self._due[0][0])
                if self._due[0][0] == self.now:
                    self._beat(*heappop(self._due))
                elif self.now == read:
                    self.listener.drain()
                    times = times[1:]
                elif not self.patience.spares(self.now):
                    self._look()

    def _look(self) -> None:
        self.listener.drain()
        self.changes += [(self.now, change) for change in self.sightings.suspicion.look(self.now)]

    def _beat(self, at: float, sender: int, sequence: int) -> None:
        heappush(self._due, (at + BEAT, sender, sequence + 1))
        instance, pipe = divmod(sender, PIPES)
        victim, since = self._silent
        if (sender == victim and at >= since) or (sequence % 2 and sequence + sender in self._lost):
            return  # never two in a row
        if sender == victim:
            self.last = at
        self._sender.send(encode(Beat(3, pipe, PIPES, TOKENS[instance], sequence, int(at * 1e9), *[sequence] * 10)))
        self.listener.oldest()  # reads it, as the event loop would at once


PHASES = st.lists(st.floats(0, 1), min_size=INSTANCES * PIPES, max_size=INSTANCES * PIPES)


@settings(max_examples=25, deadline=None)
@given(
    PHASES,
    st.sets(st.integers(1, 120), max_size=40),
    st.tuples(st.integers(0, INSTANCES * PIPES - 1), st.floats(0.03, END + 0.1)),
    st.floats(0, LATE),
    st.lists(st.floats(0, END), max_size=5),
)
def test_only_silence_is_suspected_and_at_its_limit(
    phases: list[float], lost: set[int], silent: tuple[int, float], late: float, reads: list[float]
) -> None:
    async def play() -> Story:
        story = Story(phases, lost, silent, late)
        with pytest.MonkeyPatch.context() as patched:
            clock = SimpleNamespace(monotonic_ns=lambda: int(story.now * 1e9))
            patched.setattr(beat_listener, "time", clock)
            story.play(reads)
        return story

    story = asyncio.run(play())
    limit = story.last + LIMIT
    if silent[1] > END:
        assert story.changes == []
    elif limit + LATE < END:
        ((at, change),) = story.changes
        assert change.name == f"i{silent[0] // PIPES}"
        assert change.pipe == silent[0] % PIPES
        assert limit - 1e-6 <= at <= limit + LATE + 1e-6
