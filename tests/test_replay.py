"""Replay: causal order within flows, output in the order of the input, whatever the pipes and their delays.

The pipes here are stand-ins that delay packets at random and, as a real store would, lose count when two packets of one
flow are under way at once; the same replay over real engines is at the end.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statelessnf.capture import Captured
from statelessnf.ordering import Ordering
from statelessnf.replay import GENERATED, WINDOW, Replay
from statelessnf.routing import Route

pytestmark = pytest.mark.beside

KEYS = st.lists(
    st.sets(st.sampled_from([b"a", b"b", b"c"]), max_size=2).map(lambda keys: tuple(sorted(keys))), max_size=12
)


@given(keys=KEYS, seed=st.integers(0, 1000))
def test_ordering(keys: list[tuple[bytes, ...]], seed: int) -> None:
    """Packets that share a key are ready one after the other, as entered; all become ready in the end."""
    choose, ordering, finished = random.Random(seed), Ordering(), list[int]()
    ready = [token for token, names in enumerate(keys) if ordering.add(token, names)]
    while ready:
        for first in ready:
            assert not any(set(keys[first]) & set(keys[other]) for other in ready if other != first)
        token = ready.pop(choose.randrange(len(ready)))
        assert not any(set(keys[token]) & set(keys[other]) for other in set(range(token)) - set(finished))
        finished.append(token)
        ready += ordering.done(token)
    assert sorted(finished) == list(range(len(keys)))
    assert len(ordering) == 0


class Delaying:
    """A pipe whose packets leave after some turns. Frame: flow, what becomes of it, number within the flow."""

    def __init__(self, shared: dict[int, int], seed: int) -> None:
        self.shared, self.random, self.clock = shared, random.Random(seed), 0
        self.inside: list[tuple[int, int, bytes]] = []  # turns left, token, frame
        self.out: list[tuple[int, int, bytes]] = []
        self.drops: list[tuple[int, str, int, bytes]] = []
        self.most = 0

    def inject(self, frame: bytes, side: int, token: int) -> bool:
        if len(self.inside) >= 40:
            return False
        assert not any(other[0] == frame[0] for _, _, other in self.inside)
        self.inside.append((self.random.randrange(4), token, frame))
        self.most = max(self.most, len(self.inside))
        return True

    def set_clock(self, ms: int) -> None:
        self.clock = ms

    def step(self) -> int:
        for left, token, frame in [item for item in self.inside if item[0] == 0]:
            self._end(token, frame)
            self.inside.remove((left, token, frame))
        self.inside = [(left - 1, token, frame) for left, token, frame in self.inside]
        return 0

    def _end(self, token: int, frame: bytes) -> None:
        count = self.shared[frame[0]] = self.shared.get(frame[0], 0) + 1
        if frame[1] % 4 == 0:
            self.drops.append((token, "denied", 0, frame))
            self.out += [(GENERATED, 0, frame[:1] + b"RST")] if frame[1] == 4 else []
        else:
            self.out.append((token, 1, frame + bytes([count % 256])))

    def waiting(self) -> int:
        return 0

    def collect(self) -> list[tuple[int, int, bytes]]:
        done, self.out = self.out, []
        return done

    def dropped(self) -> list[tuple[int, str, int, bytes]]:
        done, self.drops = self.drops, []
        return done


class ByFirstByte:
    """The flow is the frame's first byte; round robin over the pipes."""

    def __init__(self, pipes: int) -> None:
        self.pipes = pipes

    def route(self, frame: bytes, token: int) -> Route:
        return Route(0, token % self.pipes, (frame[:1],))

    def flow(self, frame: bytes) -> bytes | None:
        return frame[:1]


def expected(packets: list[Captured]) -> list[tuple[int, bytes]]:
    """What one pipe with no delay at all gives."""
    counts: dict[int, int] = {}
    out = []
    for time, frame in packets:
        counts[frame[0]] = counts.get(frame[0], 0) + 1
        if frame[1] % 4:
            out.append((time, frame + bytes([counts[frame[0]] % 256])))
        elif frame[1] == 4:
            out.append((time, frame[:1] + b"RST"))
    return out


def run(packets: list[Captured], pipes: list[Delaying]) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
    out: list[tuple[int, bytes]] = []
    drops: list[tuple[int, bytes]] = []
    replay = Replay(
        pipes,
        ByFirstByte(len(pipes)),
        lambda time, frame: out.append((time, frame)),
        lambda time, frame: drops.append((time, frame)),
        1000,
    )
    totals = replay.run(packets)
    assert totals.packets == len(packets)
    assert totals.forwarded + totals.generated == len(out)
    assert totals.dropped == len(drops) == totals.packets - totals.forwarded
    return out, drops


def test_oversized_frames_are_dropped() -> None:
    packets = [Captured(0, b"\0\1"), Captured(1, bytes(1001)), Captured(2, b"\0\1")]
    out, drops = run(packets, [Delaying({}, 1)])
    assert [time for time, _ in out] == [0, 2]
    assert drops == [packets[1]]


FRAMES = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 8)).map(bytes), max_size=200)


@given(frames=FRAMES, count=st.integers(1, 3), seed=st.integers(0, 1000))
def test_output_does_not_depend_on_the_split(frames: list[bytes], count: int, seed: int) -> None:
    packets = [Captured(1_000_000 * n, frame) for n, frame in enumerate(frames)]
    shared: dict[int, int] = {}
    out, drops = run(packets, [Delaying(shared, seed + n) for n in range(count)])
    assert out == expected(packets)
    assert drops == [(time, frame) for time, frame in packets if frame[1] % 4 == 0]


class Stuck(Delaying):
    """Keeps the very first packet for a long time."""

    def inject(self, frame: bytes, side: int, token: int) -> bool:
        if token:
            return super().inject(frame, side, token)
        self.inside.append((500, token, frame))
        return True


def test_many_at_once_and_bounded() -> None:
    """Different flows do overlap; no more than a window of packets is kept."""
    packets = [Captured(n, bytes([n % 200, 1])) for n in range(3 * WINDOW)]
    pipe, read_ahead = Stuck({}, 1), 0

    def capture() -> Iterator[Captured]:
        nonlocal read_ahead
        for n, packet in enumerate(packets):
            read_ahead = max(read_ahead, n - replay.totals.forwarded)
            yield packet

    out: list[tuple[int, bytes]] = []
    replay = Replay([pipe], ByFirstByte(1), lambda time, frame: out.append((time, frame)), None, 1000)
    replay.run(capture())
    assert out == expected(packets)
    assert pipe.most > 20
    assert read_ahead <= WINDOW
