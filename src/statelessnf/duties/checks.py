"""One check: of which server, for how long it is whose, and what its result makes of the finding."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

from pydantic import BaseModel

from statelessnf.duties import findings
from statelessnf.duties.findings import Finding
from statelessnf.functions.balancer_config import BalancerConfig
from statelessnf.functions.balancer_tables import Backend, backends
from statelessnf.functions.health_check import HealthCheck
from statelessnf.health import after
from statelessnf.store.values import Change

if TYPE_CHECKING:
    from statelessnf.probes import Probe

LEASE = 3000  # ms in which a claim is taken up or given back
MARGIN = 2000  # ms that a check may take beyond its time-out before another instance takes it over
RENEWALS, LEAST_LIFE = 20, 60_000  # a finding is forgotten after so many intervals, or ms, without a check


class Check(NamedTuple):
    """A backend that is checked, and how."""

    backend: Backend
    check: HealthCheck

    @property
    def port(self) -> int:
        """That of the server; BalancerConfig has seen to it that there is one."""
        return self.backend.server.port or self.backend.service.ports[0][0]

    @property
    def hold(self) -> int:
        """ms for which it is ours once it has begun."""
        return max(LEASE, self.check.timeout_ms + MARGIN)

    @property
    def latest(self) -> int:
        """ms from now to which an armed timer may be brought forward: never into somebody's lease."""
        return max(self.check.interval_ms, self.hold)

    @property
    def name(self) -> str:
        return f"server {self.backend.server} of service {self.backend.service.name}"


@dataclass(frozen=True, slots=True)
class Begun:
    """A check under way. `token`: the claim's; `before`: the finding that stood; `at`: store's clock, ms."""

    key: bytes
    of: Check
    token: bytes
    before: bytes | None
    at: int


def checks_of(settings: BaseModel) -> list[Check]:
    """Of a section [load_balancer]."""
    known = backends(cast(BalancerConfig, settings))
    return [Check(backend, backend.service.check) for backend in known if backend.service.check is not None]


def change_of(begun: Begun, probe: Probe) -> Change:
    check = begun.of.check
    health = after(findings.read(begun.before).health, probe.passed, check)
    new = findings.written(Finding(health, time.time_ns() // 1_000_000, probe.finding))
    return Change(begun.key, begun.before, new, max(RENEWALS * check.interval_ms, LEAST_LIFE))
