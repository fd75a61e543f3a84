"""snf_flow_put against a plain model, with claims and expiry between the puts: whatever the order, each flow is counted
once, has one timer, and when all have ended nothing is left.

Deadlines are long past or far in the future, so that the store's own clock plays no part in what is due.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from service_worlds import DEPLOYMENT, key, valkey_world
from statelessnf.store.client import Reply
from statelessnf.store.library import call_functions
from statelessnf.store.service_replies import read_claims
from statelessnf.store.service_requests import Claim, Ending, Expired, Expiry
from statelessnf.store.shards import service_keys
from statelessnf.store.valkey_services import ValkeyServices

pytestmark = pytest.mark.beside

KEYS = service_keys(7, DEPLOYMENT, b"test\r\n")
NAMES = [key(number, 7) for number in range(4)]
PAST = 1_600_000_000_000
FUTURE = 1 << 51
LEASE = FUTURE  # ms: a claim holds until a put brings the timer back
KINDS = ("same", "anew")
COUNTERS = (b"", b"\x00\r\nserver1", b"server2")


@dataclass
class Model:
    """Of an entry: its timer's due time (FUTURE at most, as a lease's end is not known exactly) and contents."""

    due: int
    token: bytes
    counter: bytes
    partner: bytes


def deadline_of(value: bytes) -> int:
    found: int = struct.unpack_from("<Q", value, 9)[0]
    return found


class PutMachine(RuleBasedStateMachine):
    """Any put, right or wrong, among four keys of which each may be a flow's own, its partner's, or both."""

    def __init__(self, server: Path) -> None:
        super().__init__()
        self.context = valkey_world(server)
        self.world = self.context.__enter__()
        self.client = self.world.services._client  # type: ignore[attr-defined]  # a ValkeyServices of the test's own
        self.services = cast("ValkeyServices", self.world.services)
        self.records: dict[bytes, bytes] = {}
        self.entries: dict[bytes, Model] = {}
        self.claims: list[Claim] = []
        self.numbers = count(1)

    @rule(
        names=st.permutations(NAMES),
        size=st.integers(1, 3),
        again=st.booleans(),
        kind=st.sampled_from(KINDS),
        right=st.sampled_from([True, True, True, False]),
        ahead=st.integers(-4, 4),
        later=st.booleans(),
        now=st.integers(-5, 5),
        counter=st.sampled_from(COUNTERS),
    )
    def put(
        self, names: list[bytes], size: int, again: bool, kind: str, right: bool, ahead: int, later: bool, now: int,
        counter: bytes,
    ) -> None:  # fmt: skip
        """`again`: with the partners that the flow has. `right`: the old record as it stands."""
        own = self.entries.get(names[0])
        keys = names[: min(size, 2) if kind == "same" else size]
        if again and own is not None:
            keys = [names[0], *([own.partner] if own.partner else [])]
        standing = self.records.get(names[0], b"")
        old = standing if right else b"other"
        deadline = (FUTURE if later else PAST) + ahead
        new = struct.pack("<BQQ", 1, next(self.numbers), deadline) + b"\r\n"
        token = b"\r\n%06d" % next(self.numbers)
        if kind == "same" and not old:
            return
        words = (kind, old, new, 2 * FUTURE, PAST + now, token, counter)
        [reply] = call_functions(self.client, [("FCALL", "snf_flow_put", 3 + len(keys), *KEYS, *keys, *words)])
        hindered = self._obstacle(keys, kind, old, PAST + now)
        assert reply == (hindered or [1])
        if hindered is None:
            self._write(keys, old, new, token, counter)

    def _obstacle(self, keys: list[bytes], kind: str, old: bytes, now: int) -> Reply:
        value = self.records.get(keys[0])
        if (value or b"") != old:
            return [0, value]
        if len(keys) == 1:
            return None
        other = self.records.get(keys[1])
        if kind == "same":
            return None if other == old else [3]
        return None if other is None or (old and other == old) or deadline_of(other) < now else [2]

    def _write(self, keys: list[bytes], old: bytes, new: bytes, token: bytes, counter: bytes) -> None:
        if len(keys) == 3 and old and self.records.get(keys[2]) == old:
            del self.records[keys[2]]
        self.records.update(dict.fromkeys(keys[:2], new))
        partner = keys[1] if len(keys) > 1 else b""
        before = self.entries.get(keys[0])
        due = deadline_of(new) if before is None else min(before.due, deadline_of(new))
        self.entries[keys[0]] = Model(due, before.token if before else token, counter, partner)

    @rule(name=st.sampled_from(NAMES))
    def vanish(self, name: bytes) -> None:
        """A record expires by itself."""
        self.world.vanish(name)
        self.records.pop(name, None)

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        ready = {name: model.partner for name, model in self.entries.items() if model.due <= PAST + 4}
        token = b"\r\n%06d" % next(self.numbers)
        words = ("FCALL", "snf_timer_claim", 2, KEYS.timers, KEYS.entries, limit, LEASE, token)  # of one shard: quick
        [reply] = call_functions(self.client, [words])
        claims = read_claims(reply, token)
        assert len(claims) == min(limit, len(ready))
        for claim in claims:
            assert claim.keys == ((claim.id, ready[claim.id]) if ready[claim.id] else (claim.id,))
            self.entries[claim.id].due, self.entries[claim.id].token = FUTURE + 5, claim.token
        self.claims += claims

    @rule(data=st.data(), right=st.booleans())
    def expire(self, data: st.DataObject, right: bool) -> None:
        """By a claim, perhaps one that stands no more."""
        if self.claims:
            claim = data.draw(st.sampled_from(self.claims))
            self._expire(claim.keys, claim.token, right)

    def _expire(self, keys: tuple[bytes, ...], token: bytes, right: bool) -> None:
        model, value = self.entries.get(keys[0]), self.records.get(keys[0])
        [expired] = self.services.expire([Ending(keys, token, value if right else b"other")])
        if model is None or token not in (b"", model.token) or keys[1:] != ((model.partner,) if model.partner else ()):
            assert expired == Expired(Expiry.lost)
        elif value is not None and deadline_of(value) > PAST + 5:
            assert expired == Expired(Expiry.rearmed, value)
            model.due = deadline_of(value)
        elif not right:
            assert expired == Expired(Expiry.changed, value)
        else:
            assert expired == Expired(Expiry.ended)
            del self.entries[keys[0]]
            for name in keys:
                if value is not None and self.records.get(name) == value:
                    del self.records[name]

    @invariant()
    def store_is_the_models(self) -> None:
        raw = self.world.raw
        assert raw.mget(NAMES) == [self.records.get(name) for name in NAMES]
        wanted = {
            name: model.token + bytes([len(model.counter)]) + model.counter + model.partner
            for name, model in self.entries.items()
        }
        assert raw.hgetall(KEYS.entries) == wanted
        # A lease ends at the claim's time and LEASE, later than any deadline.
        dues = {name: min(int(due), FUTURE + 5) for name, due in raw.zrange(KEYS.timers, 0, -1, withscores=True)}
        assert dues == {name: model.due for name, model in self.entries.items()}
        counters = Counter(model.counter for model in self.entries.values() if model.counter)
        assert {name: int(number) for name, number in raw.hgetall(KEYS.counters).items()} == counters

    def teardown(self) -> None:
        """All flows come to their end; records without a flow are what others took over, or the backstop's."""
        try:
            for name, model in list(self.entries.items()):
                keys = (name, model.partner) if model.partner else (name,)
                self.world.vanish(name)
                self.records.pop(name, None)
                self._expire(keys, b"", True)
            for name in self.records:
                self.world.vanish(name)
            assert self.world.left() == 0
        finally:
            self.context.__exit__(None, None, None)


def test_agrees_with_the_model(services_server: Path) -> None:
    made = cast("type[PutMachine]", lambda: PutMachine(services_server))  # Hypothesis calls it, and that is all
    run_state_machine_as_test(
        made,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
