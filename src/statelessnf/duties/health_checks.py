"""Health checks of the load balancer's servers: each is run by one instance at a time, and all read what was found.

A check is a store timer. Whoever claims it when it is due runs the probe, replaces the finding and moves the timer to
the next time; of one that dies meanwhile the timer is handed out again when the lease is over. The finding is replaced
only if it is the one that was read when the check began, so that a result that comes after the lease, when another
instance has checked, counts for nothing. Findings outlive instances; without a store, which is then lost, the last
ones go on to hold.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import BaseModel

from statelessnf.duties import checks, findings
from statelessnf.duties.backing import Backing
from statelessnf.duties.checks import Begun, Check, change_of, checks_of
from statelessnf.duties.duty import Host
from statelessnf.duties.findings import Finding, check_key
from statelessnf.errors import StoreError
from statelessnf.store.service_requests import Claim, Move, Timer, new_token

if TYPE_CHECKING:
    from statelessnf.duties.prober import Prober, Run

MOST = 64  # checks that an instance runs at once
SHORTEST, LONGEST = 0.05, 0.5  # seconds between two looks
ARMED = 1.0  # seconds: how often it is made sure that each check has its timer


class HealthChecks:
    """A duty (duty.py). `store` is its own."""

    def __init__(self, host: Host, deployment: int, store: Backing, run: Run | None = None) -> None:
        self._host, self._deployment, self._run = host, deployment, run
        self._services, self._values, self._close_store = store
        self._prober: Prober[Begun] | None = None
        self._under_way: dict[bytes, Begun] = {}
        self._settings: BaseModel | None = None
        self._checks: dict[bytes, Check] = {}
        self._arm_again = 0.0
        self._down: frozenset[int] = frozenset()

    @property
    def period(self) -> float:
        """A quarter of the shortest interval, within limits; short at first, so that who is down is known soon."""
        if self._settings is None:
            return SHORTEST
        shortest = min((each.check.interval_ms for each in self._checks.values()), default=2000)
        return min(max(shortest / 4000, SHORTEST), LONGEST)

    def look(self) -> None:
        """See `Duty`."""
        self._follow_settings()
        self._note_results()
        if self._checks:
            self._begin_due()
        self._take_findings()

    def close(self) -> None:
        """See `Duty`. Checks under way are given back, so that another instance runs them now and not after a lease."""
        if self._prober is not None:
            self._prober.close()
        with suppress(StoreError):
            self._services.move([self._again(begun, begun.at) for begun in self._under_way.values()])
        self._close_store()

    def _follow_settings(self) -> None:
        """The checks are those of the rules in force; each has a timer, which fires no later than they say."""
        settings, changed = self._host.settings, self._host.settings is not self._settings
        if not changed and time.monotonic() < self._arm_again:
            return
        if changed:
            self._checks = {check_key(self._deployment, c.backend.identity): c for c in checks_of(settings)}
        if self._checks:
            now = self._services.now()
            self._services.arm([Timer(key, now, new_token()) for key in self._checks])
            if changed:
                self._services.hasten([(key, now + each.latest) for key, each in self._checks.items()])
        self._settings, self._arm_again = settings, time.monotonic() + ARMED

    def _begin_due(self) -> None:
        room = MOST - len(self._under_way)
        claims = self._services.claim(room, checks.LEASE) if room else []
        if not claims:
            return
        self._services.end([(claim.id, claim.token) for claim in claims if claim.id not in self._checks])
        mine = {claim.id: claim for claim in claims if claim.id in self._checks and claim.id not in self._under_way}
        ours, now = list(mine.values()), self._services.now()
        standing = self._values.read(list(mine))
        begun = [
            Begun(claim.id, self._checks[claim.id], token, before, now)
            for claim, token, before in zip(ours, self._held(ours, now), standing, strict=True)
            if token
        ]
        for each in begun:
            self._begin(each)

    def _held(self, claims: Sequence[Claim], now: int) -> list[bytes]:
        """Their tokens, those of slow checks after their lease was made longer; empty: it is not ours any more."""
        tokens = [claim.token for claim in claims]
        slow = [i for i, claim in enumerate(claims) if self._checks[claim.id].hold > checks.LEASE]
        ends = [now + self._checks[claims[i].id].hold for i in slow]
        moves = [Move(tokens[i], Timer(claims[i].id, end, new_token())) for i, end in zip(slow, ends, strict=True)]
        for i, move, moved in zip(slow, moves, self._services.move(moves), strict=True):
            tokens[i] = move.timer.token if moved else b""
        return tokens

    def _begin(self, begun: Begun) -> None:
        if self._prober is None:
            from statelessnf.duties.prober import Prober  # here: asyncio takes longer to import than a store to start

            self._prober = Prober(self._run)
        self._under_way[begun.key] = begun
        self._prober.start(begun, begun.of.check, begun.of.backend.server.address, begun.of.port)

    def _note_results(self) -> None:
        """Findings first: a check whose timer was moved is over, and its result must not be lost."""
        results = [] if self._prober is None else self._prober.finished()
        for begun, _ in results:
            del self._under_way[begun.key]
        self._values.replace([change_of(begun, probe) for begun, probe in results])
        self._services.move([self._again(begun, begun.at + begun.of.check.interval_ms) for begun, _ in results])

    def _again(self, begun: Begun, due: int) -> Move:
        return Move(begun.token, Timer(begun.key, due, new_token()))

    def _take_findings(self) -> None:
        values = self._values.read(list(self._checks))
        found = [(each, findings.read(value)) for each, value in zip(self._checks.values(), values, strict=True)]
        down = frozenset(each.backend.identity for each, finding in found if self._is_down(each, finding))
        if down == self._down:
            return
        self._host.inform(down=down)
        changed, self._down = self._down ^ down, down
        for each, finding in found:
            if each.backend.identity in changed:
                self._host.say(f"{each.name} is {'up' if finding.health.up else 'down'}: {finding.text}")

    def _is_down(self, each: Check, finding: Finding) -> bool:
        """Where nothing is found (any more: the store was emptied) it is as it was."""
        return not finding.health.up if finding.health.known else each.backend.identity in self._down
