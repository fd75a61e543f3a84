"""Holds the two forms of a network function against each other: every NF's test calls `assert_forms_agree`; and a
function against itself: `assert_idempotent`.

Packets, records and tables are any bytes at all, drawn so that meetings happen (the same few addresses and numbers,
chains of packets on one record): whatever the store or the network hands over, the compiled form does what the plain
one does. Compared are verdict, record, lifetime, fault and every field of the packet; tables must stay as they are.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic import BaseModel

from statelessnf.builder import build
from statelessnf.compiled import Array, run_compiled
from statelessnf.fields import Elements, Fields
from statelessnf.function import Function, Outcome, plain_tables, run_plain, table_arrays
from statelessnf.packet import FORWARD, PACKET

_NARROW = {
    "version": (4, 6),
    "protocol": (1, 6, 17, 58, 132),
    "direction": (0, 1),
    "kind": (0, 1, 2),
    "from_low": (0, 1),
    "window_scale": (*range(15), 255),
    "effect_count": (0,),
    "attempt": (0, 1, 2),
}


def _values(random: np.random.Generator, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Any values of an integer type, half of them edges, so that values meet and carries happen."""
    if name in _NARROW:
        return random.choice(np.array(_NARROW[name]), shape)
    limits = np.iinfo(dtype)
    low, high = int(limits.min), int(limits.max)
    edges = np.array([low, 0, 1, 2, 3, high // 2, high // 2 + 1, high - 1, high], dtype)
    anything = random.integers(low, high, shape, dtype, endpoint=True)
    return np.where(random.random(shape) < 0.5, random.choice(edges, shape), anything)


def draw(seed: int, dtype: np.dtype[Any], count: int) -> Array:
    """`count` elements of a structured type; each field is the same in all of them half of the time, as in a flow."""
    random, array = np.random.default_rng(seed), np.zeros(count, dtype)
    for name in dtype.names or ():
        array[name] = _values(random, name, dtype[name].base, (count, *dtype[name].shape))
        if count and random.random() < 0.5:
            array[name] = array[name][0]
    return array


def rows(dtype: np.dtype[Any], low: int, high: int) -> SearchStrategy[Array]:
    """Arrays of `low` to `high` elements of a structured type. Drawn by seed: field by field would cost 20 ms each."""
    return st.builds(draw, st.integers(0, 2**64 - 1), st.just(dtype), st.integers(low, high))


def packets(low: int = 1, high: int = 8) -> SearchStrategy[Array]:
    """Packet records: plausible kinds and directions, anything else in the other fields."""
    return rows(PACKET, low, high)


def records(dtype: np.dtype[Any]) -> SearchStrategy[Array]:
    """One record (shape (1,)): half of the time none (all zero), else any bytes."""
    return st.just(np.zeros(1, dtype)) | rows(dtype, 1, 1)


class _Answers:
    """A classifier whose answer depends on the packet, the same in both forms."""

    def classify(self, packet: Any) -> int:
        return int((packet.source_low ^ packet.destination_port) % 5) - 1


def _plain(
    function: type[Function], sent: Array, record: Any, arrays: dict[str, Array], services: Any
) -> list[Outcome]:
    tables, outcomes = plain_tables(function, arrays, services), []
    for packet in sent:
        outcomes.append(run_plain(function, packet, record, tables))
        record = outcomes[-1].record[0]
    return outcomes


def compare(
    function: type[Function], built: Path, sent: Array, record: Array, arrays: dict[str, Array], services: Any
) -> Array:
    """The record after `sent` in turn, starting from `record` (1,). AssertionError that shows both outcomes if the
    forms differ."""
    kept = {name: array.copy() for name, array in arrays.items()}
    plain_sent, compiled_sent = sent.copy(), sent.copy()
    plain = _plain(function, plain_sent, record[0], arrays, services)
    records = np.repeat(record, len(sent))
    compiled = run_compiled(built, function, compiled_sent, records, arrays, services, chain=True)
    for i, (one, other) in enumerate(zip(plain, compiled, strict=True)):
        alike = (one.fault, one.verdict, one.lifetime) == (other.fault, other.verdict, other.lifetime)
        alike = alike and one.record.tobytes() == other.record.tobytes()
        if not alike or (not one.fault and plain_sent[i] != compiled_sent[i]):
            after = f"plain    {one}\n{Fields(plain_sent[i])}\ncompiled {other}\n{Fields(compiled_sent[i])}"
            raise AssertionError(f"the forms differ on packet {i} of {len(sent)}: {Fields(sent[i])}\n{after}")
    for name, array in arrays.items():
        assert array.tobytes() == kept[name].tobytes(), f"table {name} was changed: {Elements(array)}"
    return plain[-1].record


def assert_forms_agree(function: type[Function], config: BaseModel, examples: int = 300) -> None:
    """Property test of `function`: both forms agree, with the tables that `config` gives and with random ones."""
    built = build(function)
    made = table_arrays(function, config)
    random_tables = st.fixed_dictionaries({name: rows(dtype, 0, 4) for name, dtype in function.table_types.items()})

    @settings(max_examples=examples, deadline=None)
    @given(
        sent=packets(),
        record=records(function.record),
        arrays=st.just(made) | random_tables,
        services=st.sampled_from((None, _Answers())),
    )
    def agree(sent: Array, record: Array, arrays: dict[str, Array], services: Any) -> None:
        compare(function, built, sent, record, arrays, services)

    agree()


def assert_idempotent(function: type[Function], config: BaseModel, ends: tuple[str, str], examples: int = 300) -> None:
    """Property test of `function`: what it did with a packet, it does again on the record that it made (protocol.md,
    rule 8), whatever the record was. `ends`: an endpoint of the record and the packet's end that is it in most
    examples, so that packets belong to flows."""
    tables, met = plain_tables(function, table_arrays(function, config), _Answers()), Counter[int]()

    @settings(max_examples=examples, deadline=None)
    @given(
        sent=packets(high=1),
        record=st.one_of(*[rows(function.record, 1, 1)] * 7, st.just(np.zeros(1, function.record))),
        meet=st.sampled_from([True] * 7 + [False]),
        state=st.none() | st.integers(0, 6),
    )
    def idempotent(sent: Array, record: Array, meet: bool, state: int | None) -> None:
        record = record.copy()
        if state is not None:
            record["state"] = state
        for part in ("high", "low", "port") if meet else ():
            sent[f"{ends[1]}_{part}"] = record[f"{ends[0]}_{part}"]
        first, second = sent.copy(), sent.copy()
        once = run_plain(function, first[0], record[0], tables)
        if once.fault:
            return
        again = run_plain(function, second[0], once.record[0], tables)
        assert (again.verdict, again.record.tobytes()) == (once.verdict, once.record.tobytes()), Fields(sent[0])
        assert second.tobytes() == first.tobytes(), (Fields(first[0]), Fields(second[0]))
        met[once.verdict & 0xFF] += once.record.tobytes() != record.tobytes() or first.tobytes() != sent.tobytes()

    idempotent()
    assert met[FORWARD] > 0, "packets that change nothing show nothing"
