"""Stored values as the function's record type reads them: envelope, fields, tail (engine/record.hpp, pair.hpp).

Every stored byte is checked before it is believed. A field is named as the function names it, an element of an array
as `window.0`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel

from statelessnf.config_errors import nearest
from statelessnf.errors import Refused
from statelessnf.function import Function
from statelessnf.store.flow_keys import link_size
from statelessnf.store.service_requests import deadline_of

_ENVELOPE = struct.Struct("<BQQ")  # schema, nonce, deadline
_OPENER = 7  # bytes of a tail before its link: who opened the flow
_BY_HIGHER = 2


class Value(NamedTuple):
    """A stored value taken apart. `tail` is empty where the function does not rewrite."""

    deadline: int  # ms, store clock
    fields: bytes
    tail: bytes

    @property
    def link(self) -> bytes:
        """Both keys' ends, xored; zeros, or nothing: the flow has one key."""
        return self.tail[_OPENER:]

    def opened_by(self, key: bytes, other: bytes) -> bool:
        """Whether the flow was opened by `key`, and not by its other one."""
        size = len(self.link)
        return (key[-size:] > other[-size:]) == bool(self.tail[0] & _BY_HIGHER)

    @property
    def empty(self) -> bool:
        """For the function there is no record: the first field, `state`, is 0."""
        return self.fields[0] == 0


class Layout:
    """Of the records of one function."""

    def __init__(self, function: type[Function], settings: BaseModel) -> None:
        self.function = function
        self.timed = function.timed(settings)
        self._places = dict(_places(function.record))

    def value(self, stored: bytes, version: int) -> Value:
        """`version`: of IP. Raises ValueError, which says what is wrong with the value."""
        deadline, tail = deadline_of(stored), self._tail_size(version)
        end = _ENVELOPE.size + self.function.record.itemsize
        if len(stored) != end + tail:
            raise ValueError(f"{len(stored)} bytes, a record of {self.function.name} has {end + tail}")
        return Value(deadline, stored[_ENVELOPE.size : end], stored[end:])

    def stored(self, value: Value, nonce: bytes) -> bytes:
        """The bytes of a value, written under a nonce of 8 bytes."""
        return _ENVELOPE.pack(1, int.from_bytes(nonce, "little"), value.deadline) + value.fields + value.tail

    def numbers(self, value: Value) -> dict[str, int]:
        """All fields."""
        return {name: int(row) for name, row in self._rows(value.fields)}

    def words(self, value: Value) -> dict[str, str]:
        """What the function says of its record beside the fields."""
        row = np.frombuffer(value.fields, self.function.record)[0]
        try:
            return {name: str(said) for name, said in self.function.describe(row).items()}
        except (ValueError, ArithmeticError, LookupError):  # of bytes that the function would never have written
            return {}

    def known(self, wanted: Mapping[str, int]) -> None:
        """Raises Refused for a field that the function does not have, and for a number that does not fit into one."""
        for name, number in wanted.items():
            if name not in self._places:
                what = f"records of {self.function.name} have no field {name[:40]!r}"
                raise Refused(what, "", nearest(name, list(self._places), "fields"))
            limits = np.iinfo(self._places[name][1])
            if not limits.min <= number <= limits.max:
                raise Refused(f"{number} does not fit into {name}", "", f"it holds {limits.min} to {limits.max}")

    def changed(self, value: Value, changes: Mapping[str, int]) -> Value:
        """With new numbers in some fields. Raises Refused."""
        self.known(changes)
        fields = bytearray(value.fields)
        for name, number in changes.items():
            if name.partition(".")[0] in self.function.keyed:
                what = f"the flow's keys follow from {name}: it cannot be changed"
                raise Refused(what, "", "delete the record; the flow's next packet makes a new one")
            offset, kind = self._places[name]
            fields[offset : offset + kind.itemsize] = np.array(number, kind).tobytes()
        if fields[0] == 0:
            raise Refused("a record whose state is 0 is none", "", "delete it")
        return value._replace(fields=bytes(fields))

    def counter(self, value: Value) -> bytes:
        """The name of what counts the flow; empty: nothing does (`counter_of` in engine/pairs.cpp)."""
        if self.function.counter is None:
            return b""
        counted, name = (self._places[field] for field in self.function.counter)
        return value.fields[name[0] : name[0] + 8] if value.fields[counted[0]] == 1 else b""

    def _tail_size(self, version: int) -> int:
        return _OPENER + link_size(version) if self.function.rewrites else 0

    def _rows(self, fields: bytes) -> Any:
        for name, (offset, kind) in self._places.items():
            yield name, np.frombuffer(fields, kind, 1, offset)[0]


def _places(record: np.dtype[Any]) -> Any:
    """Name, and offset and type, of each number."""
    assert record.fields is not None
    for name, (kind, offset, *_) in record.fields.items():
        for index in range(kind.shape[0] if kind.shape else 0):
            yield f"{name}.{index}", (offset + index * kind.base.itemsize, kind.base)
        if not kind.shape:
            yield name, (offset, kind)
