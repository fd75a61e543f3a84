"""Calls of the puts with arguments that no caller of ours has: refused by the store, and nothing is changed."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from service_worlds import DEPLOYMENT, key, valkey_world
from statelessnf.errors import StoreReplyError
from statelessnf.store.client import StoreClient, Word
from statelessnf.store.library import call_functions
from statelessnf.store.service_requests import LATEST
from statelessnf.store.shards import service_keys
from statelessnf.store.url import unix_url

pytestmark = pytest.mark.beside

KEYS = service_keys(7, DEPLOYMENT, b"h")
FLOW, PARTNER, FORMER = key(7), key(8, 7), key(9, 7)
NOW = 1_700_000_000_000
VALUE = struct.pack("<BQQ", 1, 1, NOW)
A = b"token\r\n1"
Words = tuple[Word, ...]
PUTS: list[Words] = [  # kind, old, new, expire-at, now
    (),
    ("anew", b""),
    ("new", b"", VALUE, NOW, NOW),
    ("same", b"", VALUE, NOW, NOW),
    ("anew", b"", b"", NOW, NOW),
    ("anew", b"", VALUE, "0", NOW),
    ("anew", b"", VALUE, "-1", NOW),
    ("anew", b"", VALUE, NOW, "soon"),
    ("anew", b"", VALUE, NOW, LATEST + 2),
]
FLOW_PUTS: list[Words] = [  # and token, counter
    ("anew", b"", VALUE[:-1], NOW, NOW, A, ""),
    ("anew", b"", b"\x02" + VALUE[1:], NOW, NOW, A, ""),
    ("anew", b"", VALUE[:9] + b"\xff" * 8, NOW, NOW, A, ""),
    ("anew", b"", VALUE, NOW - 1, NOW, A, ""),
    ("anew", b"", VALUE, NOW, NOW, A[:-1], ""),
    ("anew", b"", VALUE, NOW, NOW, A, "x" * 256),
    ("anew", b"", VALUE, NOW, NOW),
]
PAIRS: list[Words] = [
    (0,),
    (1, FLOW, "anew", b"", VALUE, NOW, NOW),
    (2, FLOW, FLOW, "anew", b"", VALUE, NOW, NOW),
    (3, FLOW, PARTNER, FLOW, "anew", b"", VALUE, NOW, NOW),
    (3, FLOW, PARTNER, FORMER, "same", VALUE, VALUE, NOW, NOW),
    *((2, FLOW, PARTNER, *words) for words in PUTS),
]
FLOWS: list[Words] = [
    (0,),
    (3, *KEYS, "anew", b"", VALUE, NOW, NOW, A, ""),
    (5, *KEYS, FLOW, FLOW, "anew", b"", VALUE, NOW, NOW, A, ""),
    (6, *KEYS, FLOW, PARTNER, FLOW, "anew", b"", VALUE, NOW, NOW, A, ""),
    (6, *KEYS, FLOW, PARTNER, FORMER, "same", VALUE, VALUE, NOW, NOW, A, ""),
    *((5, *KEYS, FLOW, PARTNER, *words, A, "load") for words in PUTS),
    *((5, *KEYS, FLOW, PARTNER, *words) for words in FLOW_PUTS),
    *((4, *KEYS, FLOW, *words) for words in FLOW_PUTS),
]
CALLS = [
    (f"snf_{what}_{how}", *words)
    for what, all_ in (("pair", PAIRS), ("flow", FLOWS))
    for words in all_
    for how in ("put", "make")
]


@pytest.mark.parametrize("stands", [False, True])
def test_refused_and_nothing_changed(services_server: Path, stands: bool) -> None:
    """Where nothing stands, and where both keys hold the value that is asked for."""
    with valkey_world(services_server) as world, StoreClient(unix_url(str(services_server))) as client:
        records = dict.fromkeys((FLOW, PARTNER, FORMER), VALUE) if stands else {}
        if stands:
            world.raw.mset(records)
        for words in CALLS:
            with pytest.raises(StoreReplyError, match="SNF"):
                call_functions(client, [("FCALL", *words)])
            assert {name: world.raw.get(name) for name in world.raw.scan_iter()} == records, words
