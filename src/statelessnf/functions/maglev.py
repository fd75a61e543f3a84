"""Maglev look-up tables (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016).

A table of prime size holds a server in each slot, evenly by weight, so that adding or removing one server moves little
more than its own share of the slots. It depends on the names of the servers alone, never on their order.
"""

import hashlib
from collections.abc import Mapping
from math import isqrt
from typing import Any

import numpy as np

Slots = np.ndarray[Any, Any]


def is_prime(number: int) -> bool:
    """By trial division: for table sizes."""
    return number > 1 and all(number % divisor for divisor in range(2, isqrt(number) + 1))


def _preference(name: bytes, size: int) -> tuple[int, int]:
    """(offset, skip): a server wants the slots offset + k * skip, in this order: all of them, as `size` is prime."""
    digest = hashlib.blake2b(name, digest_size=16).digest()
    offset, skip = (int.from_bytes(half, "little") for half in (digest[:8], digest[8:]))
    return offset % size, skip % (size - 1) + 1


def maglev_slots(weights: Mapping[bytes, int], size: int) -> Slots:
    """For each of `size` slots (a prime) the index of a server in `weights` (int64, shape (size,)); none: shape (0,).

    `weights`: name to a number above 0. Servers take turns; the heaviest takes one each round, the others as much more
    seldom as they are lighter (§3.4: "altering the relative frequency of the backends' turns").
    """
    if not weights:
        return np.zeros(0, np.int64)
    order = {name: index for index, name in enumerate(weights)}
    heaviest, wanted = max(weights.values()), {name: _preference(name, size) for name in sorted(weights)}
    owner, free, turn = [-1] * size, size, 0
    while free:
        turn += 1
        for name in wanted:
            slot, skip = wanted[name]
            if not free or turn * weights[name] // heaviest == (turn - 1) * weights[name] // heaviest:
                continue
            while owner[slot] >= 0:
                slot = (slot + skip) % size
            owner[slot], free = order[name], free - 1
            wanted[name] = (slot, skip)
    return np.array(owner, np.int64)
