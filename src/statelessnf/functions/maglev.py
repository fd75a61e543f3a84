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


def _permutation(name: bytes, size: int) -> list[int]:
    """In which order a server wants the slots: offset + k * skip, all of them, as `size` is prime."""
    digest = hashlib.blake2b(name, digest_size=16).digest()
    offset = int.from_bytes(digest[:8], "little") % size
    skip = int.from_bytes(digest[8:], "little") % (size - 1) + 1
    wanted: list[int] = ((offset + np.arange(size, dtype=np.int64) * skip) % size).tolist()
    return wanted


def maglev_slots(weights: Mapping[bytes, int], size: int) -> Slots:
    """For each of `size` slots (a prime) the index of a server in `weights` (int64, shape (size,)); none: shape (0,).

    `weights`: name to a number above 0. Servers take turns; the heaviest takes one each round, the others as much more
    seldom as they are lighter (§3.4: "altering the relative frequency of the backends' turns").
    """
    if not weights:
        return np.zeros(0, np.int64)
    order = {name: index for index, name in enumerate(weights)}
    heaviest, names = max(weights.values()), sorted(weights)
    wanted = {name: iter(_permutation(name, size)) for name in names}
    owner, free, turn = [-1] * size, size, 0
    while free:
        turn += 1
        for name in names:
            takes = turn * weights[name] // heaviest > (turn - 1) * weights[name] // heaviest
            if takes and free:
                slot = next(slot for slot in wanted[name] if owner[slot] < 0)
                owner[slot] = order[name]
                free -= 1
    return np.array(owner, np.int64)
