"""Maglev tables: prime sizes, even shares by weight, no dependence on order, little disruption (NSDI 2016, §3.4)."""

from collections import Counter

import pytest

from statelessnf.functions.maglev import is_prime, maglev_slots

pytestmark = pytest.mark.beside

SIZE = 4093


def servers(count: int) -> list[bytes]:
    return [f"10.0.{i >> 8}.{i & 255}:80".encode() for i in range(count)]


def table(weights: dict[bytes, int], size: int = SIZE) -> list[bytes]:
    """The name in each slot."""
    names = list(weights)
    return [names[index] for index in maglev_slots(weights, size).tolist()]


def test_primes() -> None:
    assert [number for number in range(-2, 30) if is_prime(number)] == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
    assert is_prime(65_521)
    assert not is_prime(65_519 * 65_521)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_shares_are_even(count: int) -> None:
    """Equal weights differ by one slot at most: in each round everyone takes one."""
    found = Counter(table(dict.fromkeys(servers(count), 1)))
    assert len(found) == count
    assert max(found.values()) - min(found.values()) <= 1
    assert sum(found.values()) == SIZE


def test_shares_follow_the_weights() -> None:
    weights = dict(zip(servers(4), (1, 2, 3, 10), strict=True))
    found = Counter(table(weights))
    for name, weight in weights.items():
        assert abs(found[name] - SIZE * weight / 16) <= 2, found


def test_the_order_of_the_servers_does_not_matter() -> None:
    names = servers(9)
    weights = {name: 1 + i % 3 for i, name in enumerate(names)}
    assert table(weights) == table(dict(reversed(weights.items())))


@pytest.mark.parametrize("count", [2, 3, 10, 40])
@pytest.mark.parametrize("weight", [1, 3])
def test_a_server_that_goes_takes_little_more_than_its_own_slots(count: int, weight: int) -> None:
    weights = {name: 1 + (weight - 1) * (i % 2) for i, name in enumerate(servers(count))}
    before = table(weights)
    gone = servers(count)[count // 2]
    after = table({name: each for name, each in weights.items() if name != gone})
    assert gone not in after
    others = sum(a != b for a, b in zip(before, after, strict=True) if a != gone)
    assert others <= 0.05 * SIZE, f"{others} slots of others moved"


def test_a_server_that_comes_takes_little_more_than_its_share() -> None:
    names = servers(11)
    before, after = table(dict.fromkeys(names[:10], 1)), table(dict.fromkeys(names, 1))
    moved = sum(a != b for a, b in zip(before, after, strict=True))
    assert SIZE / 11 - 1 <= moved <= SIZE / 11 + 0.05 * SIZE


def test_no_servers_no_slots() -> None:
    assert len(maglev_slots({}, SIZE)) == 0
