"""The store services against plain models, on both back ends: whatever the order, nothing is lost and nothing is twice.

Time goes in steps of one SPAN: what is due is due at the beginning of a step, and everything happens in its middle, so
that the time which the test itself takes does not matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from service_worlds import BACKSTOP, SPAN, MemoryWorld, World, flow, key, record, timer, valkey_world
from statelessnf.store.service_requests import (
    Claim,
    Created,
    Creation,
    Ending,
    Expired,
    Expiry,
    Move,
    PairChange,
)

pytestmark = pytest.mark.beside

EXAMPLES = {"memory": 100, "valkey": 25}
SETTINGS = settings(
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
NUMBERS = st.integers(0, 5)
STEPS = st.integers(0, 3)
Worlds = Callable[[], AbstractContextManager[World]]


def memory_world() -> AbstractContextManager[World]:
    return nullcontext(MemoryWorld())


class Steps(RuleBasedStateMachine):
    """What both machines share: a world, time, tokens, and claims that their holders may have forgotten."""

    def __init__(self, worlds: Worlds) -> None:
        super().__init__()
        self.context = worlds()
        self.world = self.context.__enter__()
        self.services = self.world.services
        self.zero = self.world.now() - SPAN // 2
        self.step = 0
        self.tokens = count(1)
        self.claims: list[Claim] = []  # held, or thought to be held

    def token(self) -> bytes:
        return b"\r\n%06d" % next(self.tokens)

    def at(self, step: int) -> int:
        return self.zero + step * SPAN

    @rule(steps=st.integers(1, 3))
    def pass_time(self, steps: int) -> None:
        self.step += steps
        self.world.pass_time(steps * SPAN)

    def take(self, limit: int, lease: int) -> list[Claim]:
        """Claim, compare with the model, keep the claims."""
        raise NotImplementedError

    @rule(limit=st.integers(1, 8), lease=st.integers(1, 3))
    def claim(self, limit: int, lease: int) -> None:
        self.take(limit, lease)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """A claimer forgets what it claimed."""
        self.claims.remove(data.draw(st.sampled_from(self.claims)))

    def teardown(self) -> None:
        try:
            self.pass_time(10)
            self.finish()
            assert self.world.left() == 0
        finally:
            self.context.__exit__(None, None, None)

    def finish(self) -> None:
        """End all that there is, as survivors would."""
        raise NotImplementedError


@dataclass
class ModelTimer:
    ready: int  # step at which it can be claimed
    token: bytes


class TimerMachine(Steps):
    """Timers alone."""

    def __init__(self, worlds: Worlds) -> None:
        super().__init__(worlds)
        self.timers: dict[bytes, ModelTimer] = {}
        self.armed = self.ended = 0

    @rule(number=NUMBERS, steps=STEPS)
    def arm(self, number: int, steps: int) -> None:
        token = self.token()
        expected = key(number) not in self.timers
        for _ in range(2):  # the second time as if the reply had been lost
            assert self.services.arm([timer(self.world, number, self.at(self.step + steps), token)]) == [expected]
        if expected:
            self.timers[key(number)] = ModelTimer(self.step + steps, token)
            self.armed += 1

    @rule(number=NUMBERS, steps=STEPS, right=st.booleans())
    def move(self, number: int, steps: int, right: bool) -> None:
        model, token = self.timers.get(key(number)), self.token()
        old = model.token if model and right else self.token()
        moved = self.services.move([Move(old, timer(self.world, number, self.at(self.step + steps), token))])
        assert moved == [model is not None and right]
        if model and right:
            self.timers[key(number)] = ModelTimer(self.step + steps, token)

    @rule(number=NUMBERS, steps=STEPS)
    def hasten(self, number: int, steps: int) -> None:
        self.services.hasten([(key(number), self.world.stored(self.at(self.step + steps)))])
        model = self.timers.get(key(number))
        if model:
            model.ready = min(model.ready, self.step + steps)

    @rule(number=NUMBERS, right=st.booleans())
    def cancel(self, number: int, right: bool) -> None:
        model = self.timers.get(key(number))
        self._end(key(number), model.token if model and right else self.token())

    def take(self, limit: int, lease: int) -> list[Claim]:
        ready = {name for name, model in self.timers.items() if model.ready <= self.step}
        claims = self.services.claim(limit, lease * SPAN)
        names = [claim.id for claim in claims]
        assert len(set(names)) == len(names) == min(limit, len(ready))
        assert set(names) <= ready
        assert all(claim.keys == (claim.id,) for claim in claims)
        for claim in claims:
            self.timers[claim.id] = ModelTimer(self.step + lease, claim.token)
        self.claims += claims
        return claims

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """By whoever thinks that it holds the timer."""
        claim = data.draw(st.sampled_from(self.claims))
        self.claims.remove(claim)
        self._end(claim.id, claim.token)

    def _end(self, name: bytes, token: bytes) -> None:
        model = self.timers.get(name)
        expected = model is not None and model.token == token
        assert self.services.end([(name, token)]) == [expected]
        if expected:
            del self.timers[name]
            self.ended += 1

    def finish(self) -> None:
        while claims := self.take(100, 1):
            for claim in claims:
                self._end(claim.id, claim.token)
        assert not self.timers
        assert self.armed == self.ended


@dataclass
class ModelFlow:
    keys: tuple[bytes, ...]
    nonce: int
    deadline: int  # step
    counter: bytes
    ready: int
    token: bytes


class FlowMachine(Steps):
    """Flows: one key or two, with and without a counter; refreshed, ended, vanished, met by others."""

    def __init__(self, worlds: Worlds) -> None:
        super().__init__(worlds)
        self.flows: dict[bytes, ModelFlow] = {}  # by timer
        self.records: dict[bytes, ModelFlow] = {}  # by key
        self.nonces = count(1)

    def value(self, model: ModelFlow) -> bytes:
        return record(self.world, model.nonce, self.at(model.deadline))

    def stands(self, name: bytes) -> bytes | None:
        model = self.records.get(name)
        return None if model is None else self.value(model)

    @rule(number=NUMBERS, partner=st.none() | NUMBERS, steps=STEPS, counter=st.sampled_from([b"", b"x", b"y"]))
    def create(self, number: int, partner: int | None, steps: int, counter: bytes) -> None:
        keys = (key(number, 3),) if partner in (None, number) else (key(number, 3), key(partner or 0, 3))
        token, nonce = self.token(), next(self.nonces)
        model = ModelFlow(keys, nonce, self.step + steps, counter, self.step + steps, token)
        standing = tuple(self.stands(name) for name in keys)
        wanted = flow(self.world, keys, nonce, self.at(model.deadline), token, counter)
        outcome = self.services.create([wanted])
        if any(standing):
            assert outcome == [Created(Creation.taken, standing)]
            return
        anew = keys[0] in self.flows
        assert outcome == [Created(Creation.created_anew if anew else Creation.created)]
        self.flows[keys[0]] = model
        self.records.update(dict.fromkeys(keys, model))
        self.counters_are_those_of_the_flows()

    @precondition(lambda self: self.flows)
    @rule(data=st.data(), steps=STEPS, right=st.booleans())
    def refresh(self, data: st.DataObject, steps: int, right: bool) -> None:
        """Another deadline; earlier ones hasten the timer."""
        model = data.draw(st.sampled_from(list(self.flows.values())))
        if len(model.keys) != 2:
            return
        fresh = ModelFlow(model.keys, next(self.nonces), self.step + steps, model.counter, model.ready, model.token)
        old = self.value(model) if right else self.value(fresh)
        backstop = self.world.stored(self.world.now()) + BACKSTOP
        keys = (model.keys[0], model.keys[1])
        [changed] = self.services.change_pairs([PairChange(keys, old, self.value(fresh), backstop)])
        if right and all(self.records.get(name) is model for name in keys):
            model.nonce, model.deadline = fresh.nonce, fresh.deadline
            self.services.hasten([(keys[0], self.world.stored(self.at(fresh.deadline)))])
            model.ready = min(model.ready, fresh.deadline)
            assert changed.changed
        assert changed.values == (self.stands(keys[0]), self.stands(keys[1]))

    @precondition(lambda self: self.records)
    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.records)))
        self.world.vanish(name)
        del self.records[name]

    def take(self, limit: int, lease: int) -> list[Claim]:
        ready = {name for name, model in self.flows.items() if model.ready <= self.step}
        claims = self.services.claim(limit, lease * SPAN)
        assert len({claim.id for claim in claims}) == len(claims) == min(limit, len(ready))
        for claim in claims:
            assert claim.id in ready
            model = self.flows[claim.id]
            assert claim.keys == model.keys
            model.ready, model.token = self.step + lease, claim.token
        self.claims += claims
        return claims

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), right=st.booleans())
    def expire(self, data: st.DataObject, right: bool) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        self._expire(claim.keys, claim.token, right)

    @precondition(lambda self: self.flows)
    @rule(data=st.data(), right=st.booleans())
    def meet(self, data: st.DataObject, right: bool) -> None:
        """Somebody without a claim wants to use the key."""
        model = data.draw(st.sampled_from(list(self.flows.values())))
        self._expire(model.keys, b"", right)

    def _expire(self, keys: tuple[bytes, ...], token: bytes, right: bool) -> None:
        value = self.stands(keys[0])
        old = value if right else b"other"
        [expired] = self.services.expire([Ending(keys, token, old)])
        model = self.flows.get(keys[0])
        if model is None or model.keys != keys or token not in (b"", model.token):
            assert expired == Expired(Expiry.lost)
            return
        standing = self.records.get(keys[0])
        if standing is not None and standing.deadline > self.step:
            assert expired == Expired(Expiry.rearmed, value)
            model.ready = standing.deadline
        elif not right:
            assert expired == Expired(Expiry.changed, value)
        else:
            assert expired == Expired(Expiry.ended)
            self._forget(model, standing)
            self.counters_are_those_of_the_flows()

    def _forget(self, model: ModelFlow, standing: ModelFlow | None) -> None:
        del self.flows[model.keys[0]]
        for name in model.keys:
            if standing is not None and self.records.get(name) is standing:
                del self.records[name]

    def counters_are_those_of_the_flows(self) -> None:
        wanted = Counter(model.counter for model in self.flows.values() if model.counter)
        assert self.services.counts() == wanted

    @invariant()
    def records_are_those_that_stand(self) -> None:
        names = [key(number, 3) for number in range(6)]
        assert self.services.read(names) == [self.stands(name) for name in names]

    def finish(self) -> None:
        while claims := self.take(100, 1):
            for claim in claims:
                self._expire(claim.keys, claim.token, True)
        assert not self.flows
        assert self.services.counts() == {}
        for name in self.records:  # halves of pairs whose other half vanished: the backstop's
            self.world.vanish(name)


@pytest.mark.parametrize("machine", [TimerMachine, FlowMachine])
@pytest.mark.parametrize("back_end", ["memory", "valkey"])
def test_agrees_with_the_model(services_server: Path, back_end: str, machine: type[TimerMachine | FlowMachine]) -> None:
    worlds: dict[str, Worlds] = {"memory": memory_world, "valkey": lambda: valkey_world(services_server)}
    made = cast("type[Steps]", lambda: machine(worlds[back_end]))  # Hypothesis calls it, and that is all
    run_state_machine_as_test(made, settings=settings(SETTINGS, max_examples=EXAMPLES[back_end]))
