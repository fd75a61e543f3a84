"""Sequence arithmetic: RFC 9293 §3.4, the same in plain Python, on NumPy scalars and compiled."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statelessnf import sequence
from statelessnf.sequence import add32, elapsed32, seq_leq, seq_lt, seq_max, seq_min, sub32

pytestmark = pytest.mark.beside

NUMBERS = st.sampled_from((0, 1, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF)) | st.integers(0, 0xFFFFFFFF)
ALL = (add32, sub32, seq_lt, seq_leq, seq_max, seq_min, elapsed32)


@pytest.fixture(scope="module")
def compiled() -> dict[str, Any]:
    """Every function compiled, also those that call one another."""
    names: dict[str, Any] = {"int": int, "_MASK": sequence._MASK, "_HALF": sequence._HALF}
    for function in (sub32, add32, seq_lt, seq_leq, seq_max, seq_min, elapsed32):
        copy = FunctionType(function.__code__, names, function.__name__)
        names[function.__name__] = numba.njit(copy)
    return names


@pytest.mark.parametrize("function", ALL)
@settings(deadline=None)  # the first call of each type compiles
@given(a=NUMBERS, b=NUMBERS)
def test_all_forms_agree(compiled: dict[str, Any], function: Callable[[int, int], int], a: int, b: int) -> None:
    expected = function(a, b)
    assert function(np.uint32(a), np.uint32(b)) == expected  # type: ignore[arg-type]  # scalars are integers here
    for kind in (np.uint32, np.uint64, np.int64):
        assert compiled[function.__name__](kind(a), kind(b)) == expected
    assert compiled[function.__name__](np.uint32(a), np.int64(b)) == expected


@given(a=NUMBERS, b=NUMBERS)
def test_the_circle(a: int, b: int) -> None:
    assert add32(sub32(a, b), b) == a
    assert add32(a, b) == (a + b) % 2**32
    assert sub32(a, b) == (a - b) % 2**32
    assert {seq_max(a, b), seq_min(a, b)} == {a, b}
    assert seq_leq(a, b) != seq_lt(b, a)


@given(a=NUMBERS, ahead=st.integers(1, 0x7FFFFFFF))
def test_later_is_greater_across_zero(a: int, ahead: int) -> None:
    b = add32(a, ahead)
    assert seq_lt(a, b)
    assert not seq_lt(b, a)
    assert seq_max(a, b) == b
    assert seq_min(a, b) == a
    assert not seq_lt(a, a)
    assert (elapsed32(b, a), elapsed32(a, b)) == (ahead, 0)  # nothing, if the clock that wrote was ahead


@given(a=st.integers(-(2**70), 2**70), b=st.integers(-(2**70), 2**70))
def test_any_integer_is_taken_modulo_32_bits(a: int, b: int) -> None:
    assert add32(a, b) == (a + b) % 2**32
    assert sub32(a, b) == (a - b) % 2**32
