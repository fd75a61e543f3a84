"""Store services over Valkey: a Function call for each request (statelessnf.lua), many calls in a round trip.

One thread at a time; processes and threads each have their own.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence

from statelessnf.store.client import Reply, StoreClient, Word
from statelessnf.store.library import call_functions, ensure_library
from statelessnf.store.service_replies import (
    read_claims,
    read_counters,
    read_created,
    read_expired,
    read_flag,
    read_pair,
    read_value,
)
from statelessnf.store.service_requests import (
    Claim,
    Created,
    Ending,
    Expired,
    Move,
    NewFlow,
    PairChange,
    PairChanged,
    Timer,
    check_claim,
    new_token,
)
from statelessnf.store.shards import SHARDS, service_keys, shard_of

TOGETHER = 32  # shards that are claimed from in one round trip
MOST_OF_A_SHARD = 1000  # timers, MOST in statelessnf.lua


class ValkeyServices:
    """All the services of `name` in `deployment` (32 bits); the client stays the caller's.

    Loads the library where that is needed. Raises StoreError.
    """

    def __init__(self, client: StoreClient, deployment: int, name: bytes) -> None:
        self._client = client
        self._keys = [service_keys(shard, deployment, name) for shard in range(SHARDS)]
        self._next_shard = secrets.randbelow(SHARDS)  # claimers begin at different ones
        ensure_library(client)

    def now(self) -> int:
        """See `Timers`."""
        return self._client.now()

    def arm(self, timers: Sequence[Timer]) -> list[bool]:
        """See `Timers`."""
        return self._decide([self._timer_call("create", timer.id, timer.due, timer.token) for timer in timers])

    def move(self, moves: Sequence[Move]) -> list[bool]:
        """See `Timers`."""
        changes = [(move.old_token, move.timer) for move in moves]
        return self._decide(
            [self._timer_call("update", timer.id, timer.due, old, timer.token) for old, timer in changes]
        )

    def hasten(self, dues: Sequence[tuple[bytes, int]]) -> None:
        """See `Timers`. A plain command: XX leaves a timer that is gone alone, LT one that is earlier."""
        self._call([("ZADD", self._keys[shard_of(key)].timers, "XX", "LT", due, key) for key, due in dues])

    def end(self, endings: Sequence[tuple[bytes, bytes]]) -> list[bool]:
        """See `Timers`."""
        return self._decide([self._timer_call("end", timer_id, token) for timer_id, token in endings])

    def claim(self, limit: int, lease: int) -> list[Claim]:
        """See `Timers`. Once around all shards, from where the last call ended, then around those that had more."""
        check_claim(limit, lease)
        token = new_token()
        claims: list[Claim] = []
        shards = [(self._next_shard + at) % SHARDS for at in range(SHARDS)]
        while shards and len(claims) < limit:
            shards = self._claim_from(shards, limit, lease, token, claims)
        return claims

    def _claim_from(self, shards: list[int], limit: int, lease: int, token: bytes, claims: list[Claim]) -> list[int]:
        """Adds to `claims`; gives the shards that may have more."""
        more, at = [], 0
        while at < len(shards) and len(claims) < limit:
            some = shards[at : at + min(TOGETHER, limit - len(claims))]
            share = min((limit - len(claims)) // len(some), MOST_OF_A_SHARD)
            replies = self._call([self._claim_call(shard, share, lease, token) for shard in some])
            for shard, reply in zip(some, replies, strict=True):
                found = read_claims(reply, token)
                claims += found
                more += [shard] if len(found) == share else []
            at += len(some)
            self._next_shard = (some[-1] + 1) % SHARDS
        return more

    def _claim_call(self, shard: int, share: int, lease: int, token: bytes) -> Sequence[Word]:
        keys = self._keys[shard]
        return ("FCALL", "snf_timer_claim", 2, keys.timers, keys.entries, share, lease, token)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `Flows`."""
        return [read_value(reply) for reply in self._call([("GET", key) for key in keys])]

    def create(self, flows: Sequence[NewFlow]) -> list[Created]:
        """See `Flows`."""
        calls = [
            self._flow_call("create", flow.keys, flow.value, flow.expire_at, flow.token, flow.counter) for flow in flows
        ]
        return [read_created(reply, flow) for reply, flow in zip(self._call(calls), flows, strict=True)]

    def expire(self, endings: Sequence[Ending]) -> list[Expired]:
        """See `Flows`."""
        calls = [self._flow_call("expire", ending.keys, ending.token, ending.old or b"") for ending in endings]
        return [read_expired(reply) for reply in self._call(calls)]

    def change_pairs(self, changes: Sequence[PairChange]) -> list[PairChanged]:
        """See `Flows`."""
        calls = [
            ("FCALL", "snf_pair_set", 2, *change.keys, change.old, change.new, change.expire_at) for change in changes
        ]
        return [read_pair(reply) for reply in self._call(calls)]

    def counts(self) -> dict[bytes, int]:
        """See `Counters`."""
        sums: Counter[bytes] = Counter()
        for reply in self._call([("HGETALL", keys.counters) for keys in self._keys]):
            for name, number in read_counters(reply):
                sums[name] += number
        return {name: number for name, number in sums.items() if number}

    def _call(self, calls: Sequence[Sequence[Word]]) -> list[Reply]:
        return call_functions(self._client, calls)

    def _decide(self, calls: Sequence[Sequence[Word]]) -> list[bool]:
        return [read_flag(reply) for reply in self._call(calls)]

    def _timer_call(self, name: str, timer_id: bytes, *words: Word) -> Sequence[Word]:
        keys = self._keys[shard_of(timer_id)]
        return ("FCALL", f"snf_timer_{name}", 2, keys.timers, keys.entries, timer_id, *words)

    def _flow_call(self, name: str, keys: tuple[bytes, ...], *words: Word) -> Sequence[Word]:
        return ("FCALL", f"snf_{name}", 3 + len(keys), *self._keys[shard_of(keys[0])], *keys, *words)
