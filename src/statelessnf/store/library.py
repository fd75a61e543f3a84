"""The Lua library behind the store services (statelessnf.lua), loaded into Valkey as Functions.

Loaded where it is absent or older, never in place of a newer one, whoever races: the check and the load are one
transaction over a watched key (in database 0, since a library belongs to all databases; it never exists but within a
transaction). A newer library keeps the meaning of every older function, so releases run side by side.
A store that has lost its library (flushed, replaced, restarted empty) gets it again with the next call.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import chain
from pathlib import Path

from statelessnf.errors import StoreError, StoreReplyError
from statelessnf.store.client import FunctionMissing, Reply, StoreClient, Word

BATCH = 500  # calls that are under way at once
_WATCHED = "statelessnf:library"


@cache
def library_source() -> str:
    """The text of the library that this release brings."""
    return Path(__file__).with_name("statelessnf.lua").read_text()


def library_version(source: str) -> int:
    """The version that a library's text states. Raises ValueError if it states none."""
    found = re.search(r"^local VERSION = (\d+)$", source, re.MULTILINE)
    if found is None:
        raise ValueError("the library's text has no line 'local VERSION = …'")
    return int(found[1])


def loaded_version(client: StoreClient) -> int:
    """The version of the library in the store; 0 if there is none. Raises as `StoreClient.call`."""
    [version] = client.batch([("FCALL_RO", "snf_version", 0)])  # not `call`, which would give the connection up
    if isinstance(version, FunctionMissing):
        return 0
    if isinstance(version, StoreError):
        raise version
    if not isinstance(version, int):
        raise StoreReplyError(f"the store's library has no version but {version!r}", "", "delete it: FUNCTION DELETE")
    return version


def ensure_library(client: StoreClient, source: str | None = None) -> int:
    """Load the library (by default this release's) unless it, or a newer one, is there: the version that is there now.

    Raises as `StoreClient.call`; the client must not be within a transaction.
    """
    text = library_source() if source is None else source
    wanted = library_version(text)
    while (version := loaded_version(client)) < wanted:
        _load(client, text, wanted)
    return version


def _load(client: StoreClient, text: str, version: int) -> None:
    """One attempt; void if another one loads meanwhile."""
    try:
        client.call("SELECT", 0)
        client.call("WATCH", _WATCHED)
        if loaded_version(client) < version:
            client.call("MULTI")
            client.call("SET", _WATCHED, version)
            client.call("FUNCTION", "LOAD", "REPLACE", text)
            client.call("DEL", _WATCHED)
            client.call("EXEC")
    finally:
        client.close()  # the next call is in the client's own database again, and watches nothing


def call_functions(client: StoreClient, calls: Sequence[Sequence[Word]]) -> list[Reply]:
    """The replies to `calls` (FCALL commands, independent of each other), BATCH at a time; the library is loaded again
    where a function is missing. Raises as `StoreClient.call`, then any of the calls may have been done.
    """
    batches = [calls[at : at + BATCH] for at in range(0, len(calls), BATCH)]
    return list(chain.from_iterable(_call_batch(client, batch) for batch in batches))


def _call_batch(client: StoreClient, calls: Sequence[Sequence[Word]]) -> list[Reply]:
    outcomes = client.batch(calls)
    missing = [at for at, outcome in enumerate(outcomes) if isinstance(outcome, FunctionMissing)]
    if missing:
        ensure_library(client)
        again = client.batch([calls[at] for at in missing])
        for at, outcome in zip(missing, again, strict=True):
            outcomes[at] = outcome
    replies: list[Reply] = []
    for outcome in outcomes:
        if isinstance(outcome, StoreError):
            raise outcome
        replies.append(outcome)
    return replies
