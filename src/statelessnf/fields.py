"""Plain (uncompiled) views of records and tables, with the integer arithmetic of compiled code.

A field reads as a Python integer and is cut to the field's width when it is written, as the compiled form does it.
NumPy's own scalars would wrap at the width of the field (`uint16(65535) + 1` is 0, compiled it is 65536), so that the
two forms of one function would disagree. One difference is left: the difference of two unsigned fields is negative
here and wraps at 64 bits when compiled; `statelessnf.sequence` has what to use instead.
"""

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

_MASK64 = (1 << 64) - 1


def _cut(value: Any, dtype: np.dtype[Any]) -> Any:
    """`value` as an integer of type `dtype`, modulo its width. TypeError for anything that is no integer."""
    return np.uint64(operator.index(value) & _MASK64).astype(dtype)


def _view(array: Any, index: Any) -> Any:
    element = array[index]
    if isinstance(element, np.void):
        return Fields(element)
    return Elements(element) if isinstance(element, np.ndarray) else int(element)


class Fields:
    """One structured element: `fields.name` reads an integer (or `Elements`), `fields.name = n` writes into it."""

    __slots__ = ("_row",)
    _row: Any

    def __init__(self, row: Any) -> None:
        """`row`: np.void or np.record that points into an array; what is written here is written there."""
        object.__setattr__(self, "_row", row)

    def __getattr__(self, name: str) -> Any:
        if name not in self._row.dtype.fields:
            raise AttributeError(f"no field '{name}' in {self._row.dtype.names}")
        return _view(self._row, name)

    def __setattr__(self, name: str, value: Any) -> None:
        fields = self._row.dtype.fields
        if name not in fields:
            raise AttributeError(f"no field '{name}' in {self._row.dtype.names}")
        self._row[name] = _cut(value, fields[name][0])

    def __repr__(self) -> str:
        return f"Fields({', '.join(f'{name}={self._row[name]}' for name in self._row.dtype.names)})"


class Elements:
    """A 1-d array whose elements read as integers (or as `Fields`, where it is structured)."""

    __slots__ = ("_array",)

    def __init__(self, array: Any) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    @property
    def size(self) -> int:
        return len(self._array)

    def __getitem__(self, index: int) -> Any:
        return _view(self._array, operator.index(index))

    def __setitem__(self, index: int, value: int) -> None:
        self._array[operator.index(index)] = _cut(value, self._array.dtype)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Elements({self._array!r})"
