"""The abstract store: one Valkey node as the commit protocol sees it.

Guarantees what was measured on Valkey 9.1 and no more. A compare-and-set (SET ... IFEQ old GET, SET ... NX GET,
MSETEX 2 ... NX, a same-slot Function) is all or nothing and its refusal brings what stands there, but MSETEX's tells
nothing. A read behind CLIENT CACHING YES tracks its keys, absent ones too; a write by another client pushes once and
ends the tracking, a client's own write ends it without a push (NOLOOP). Every step returns a new store.
Fields named `ghost_*` belong to the invariants: nothing in the protocol reads them.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from .messages import Commit, Fetch, KeepFrames, Nonce, Ping, Read, Record, Reply, Request, Touch


class Store(NamedTuple):
    """`records` by key; `tracked`: (instance, key); `frames`: parked packets."""

    records: tuple[Record | None, ...]
    tracked: frozenset[tuple[int, int]] = frozenset()
    frames: frozenset[int] = frozenset()
    ghost_committed: frozenset[Nonce] = frozenset()
    ghost_lost: Nonce | None = None  # a commit that was overwritten by one that had not seen it


Result: TypeAlias = tuple[Store, Reply, tuple[tuple[int, int], ...]]


def execute(store: Store, request: Request, client: int, clock: int) -> Result:
    """Carry out one request of `client` (-1: of a dead connection). Returns store, reply and pushes (client, key)."""
    match request:
        case Read():
            return read(store, request, client)
        case Commit():
            return commit(store, request, client, clock)
        case Touch():
            found = store.records[request.key]
            if found is None:
                return store, Reply(request, False, (), ()), ()
            store, pushes = write(store, request.key, found._replace(deadline=request.deadline), client)
            return store, Reply(request, True, (), ()), pushes
        case Fetch():
            got = tuple(f for f in request.frames if f in store.frames)
            left = store.frames - frozenset(got) if request.delete else store.frames
            return store._replace(frames=left), Reply(request, True, (), got), ()
        case KeepFrames():
            given = frozenset(request.frames)
            frames = store.frames | given if request.put else store.frames - given
            return store._replace(frames=frames), Reply(request, True, (), ()), ()
        case Ping():
            return store, Reply(request, True, (), ()), ()


def read(store: Store, request: Read, client: int) -> Result:
    """MGET."""
    if request.tracked and client >= 0:
        store = store._replace(tracked=store.tracked | {(client, key) for key in request.keys})
    return store, Reply(request, True, tuple(store.records[key] for key in request.keys), ()), ()


def commit(store: Store, request: Commit, client: int, clock: int) -> Result:
    """Compare all, then set all."""
    standing = tuple(store.records[w.key] for w in request.writes)
    if not request.blind and not all(w.fits(found) for w, found in zip(request.writes, standing, strict=True)):
        return store, Reply(request, False, refusal(request, standing[0]), ()), ()
    pushes: tuple[tuple[int, int], ...] = ()
    for w, found in zip(request.writes, standing, strict=True):
        if found is not None and found != w.old and found.deadline > clock:
            store = store._replace(ghost_lost=found.nonce)
        store, more = write(store, w.key, w.new, client)
        pushes += more
    for leave in request.left:
        if leave.old in (None, store.records[leave.key]):
            store, more = write(store, leave.key, None, client)
            pushes += more
    nonces = store.ghost_committed | {w.new.nonce for w in request.writes}
    store = store._replace(ghost_committed=nonces, frames=store.frames | frozenset(request.frames))
    return store, Reply(request, True, (), ()), pushes


def refusal(request: Commit, standing: Record | None) -> tuple[Record | None, ...]:
    """What a refusal tells of the own key, under which `standing` was found."""
    own, *others = request.writes
    msetex = any(own.old is None and w.over is None for w in others)
    return () if msetex or own.fits(standing) else (standing,)


def write(store: Store, key: int, record: Record | None, client: int) -> tuple[Store, tuple[tuple[int, int], ...]]:
    """Put `record` (None: remove) under `key`: others who track it get a push, and nobody tracks it afterwards."""
    pushes = tuple(sorted((who, k) for who, k in store.tracked if k == key and who != client))
    tracked = frozenset(t for t in store.tracked if t[1] != key)
    records = (*store.records[:key], record, *store.records[key + 1 :])
    return store._replace(records=records, tracked=tracked), pushes
