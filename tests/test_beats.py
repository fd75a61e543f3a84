"""Heartbeats on the wire: what is written is read, and nothing else is a beat."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statelessnf.orchestrator.beats import MOST_PIPES, SIZE, Beat, decode, encode

pytestmark = pytest.mark.beside

numbers = st.integers(0, (1 << 64) - 1)


@st.composite
def beats(draw: st.DrawFn) -> Beat:
    pipes = draw(st.integers(1, MOST_PIPES))
    counts = [draw(numbers) for _ in range(11)]
    token, sequence = draw(st.binary(min_size=16, max_size=16)), draw(st.integers(1, (1 << 64) - 1))
    return Beat(draw(st.integers(0, 7)), draw(st.integers(0, pipes - 1)), pipes, token, sequence, *counts)


EXAMPLE = Beat(5, 1, 2, bytes(range(16)), 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)


@settings(max_examples=50)
@given(beats())
def test_what_is_written_is_read(beat: Beat) -> None:
    assert decode(encode(beat)) == beat
    assert (beat.available, beat.admitting, beat.stopping) == tuple(bool(beat.flags & bit) for bit in (1, 2, 4))


@given(st.binary(max_size=300) | st.binary(min_size=SIZE, max_size=SIZE))
def test_any_bytes(data: bytes) -> None:
    beat = decode(data)
    assert beat is None or encode(beat) == data


@settings(max_examples=50)
@given(beats(), st.integers(0, SIZE - 1), st.integers(1, 255))
def test_one_byte_changed(beat: Beat, at: int, change: int) -> None:
    """A changed byte is another value, or no beat: it never goes unseen."""
    data = bytearray(encode(beat))
    data[at] ^= change
    assert decode(bytes(data)) != beat


def test_layout() -> None:
    """As docs/heartbeats.md has it, and the engine."""
    data = encode(EXAMPLE)
    assert data[:16] == b"SNFB" + bytes([1, 5, 1, 0, 2, 0]) + bytes(6)
    assert data[16:32] == bytes(range(16))
    assert [int.from_bytes(data[at : at + 8], "little") for at in range(32, 128, 8)] == list(range(3, 15))


def test_what_is_none() -> None:
    wrong = [
        EXAMPLE._replace(pipe=2),
        EXAMPLE._replace(pipe=0, pipes=0),
        EXAMPLE._replace(pipes=65),
        EXAMPLE._replace(sequence=0),
        EXAMPLE._replace(flags=8),
    ]
    assert [decode(encode(beat)) for beat in wrong] == [None] * len(wrong)
    data = encode(EXAMPLE)
    assert decode(data) == EXAMPLE
    for at in (*range(5), *range(10, 16)):  # what says that it is a beat, and zeros
        assert decode(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) is None
    assert decode(data[:-1]) is decode(data + b"\0") is None
