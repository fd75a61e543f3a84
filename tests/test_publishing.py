"""Figures in the store: those of living instances, whatever else stands there, gone with the instance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from statelessnf.publishing import PRESENCE_MS, Publications
from statelessnf.store.client import StoreClient
from statelessnf.store.url import unix_url

pytestmark = pytest.mark.beside

KEY = "statelessnf:edge:figures"


@pytest.fixture
def publications(valkey_server: Path) -> Iterator[Publications]:
    with closing(Publications(unix_url(str(valkey_server)), "edge")) as made:
        yield made


@pytest.fixture
def client(valkey_server: Path) -> Iterator[StoreClient]:
    with StoreClient(unix_url(str(valkey_server))) as made:
        yield made


def test_figures_are_there_until_the_instance_leaves(publications: Publications, client: StoreClient) -> None:
    assert publications.figures() == {}
    publications.announce("one", 4)
    publications.report("one", {"received": 1})
    publications.report("one", {"received": 2, "drops": {"denied": 1}})
    publications.report("two", {"received": 3})
    assert publications.figures() == {"one": {"received": 2, "drops": {"denied": 1}}, "two": {"received": 3}}
    left = client.call("HPTTL", KEY, "FIELDS", 1, "one")
    assert isinstance(left, list)
    assert isinstance(left[0], int)
    assert 0 < left[0] <= PRESENCE_MS
    publications.leave("one")
    assert publications.figures() == {"two": {"received": 3}}
    assert publications.instances() == {}


@pytest.mark.parametrize("text", ["", "[]", "1", '"x"', "{", "\x00\xff", "[" * 100_000, "{}}"])
def test_what_is_no_object_is_left_out(publications: Publications, client: StoreClient, text: str) -> None:
    publications.report("one", {"received": 1})
    client.call("HSET", KEY, "bad", text)
    assert publications.figures() == {"one": {"received": 1}}
