"""Whether a server is up, from the results of its health checks: a pure state machine, as HAProxy's rise and fall.

A server counts as up until its first check has answered; that one decides at once, so that an instance that starts
neither refuses a service that works nor keeps sending to one that does not. After that it takes `fall` failures in a
row to bring it down, and `rise` passes in a row to bring it up.
"""

from __future__ import annotations

from typing import NamedTuple

from statelessnf.functions.health_check import HealthCheck


class Health(NamedTuple):
    """What is thought of a server. `against`: results in a row that say otherwise."""

    up: bool = True
    against: int = 0
    known: bool = False  # at least one check has answered


def after(health: Health, passed: bool, check: HealthCheck) -> Health:
    """What is thought of it after one more result."""
    if not health.known or passed == health.up:
        return Health(passed, 0, True)
    needed = check.rise if passed else check.fall
    against = health.against + 1
    return Health(passed, 0, True) if against >= needed else Health(health.up, against, True)
