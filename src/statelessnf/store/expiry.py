"""The end of flows whose life a timer ends: one pass over what is due, made now and then by every live instance.

A flow's store effects happen exactly once, whoever makes the pass and whoever dies in it: the timer is claimed for a
lease, and record, counter and timer end in one step (services.py). `on_expire` is told before that step, hence at least
once: again if its teller dies or is slower than the lease, or if the record changes meanwhile. Who must know each end
once tells them apart by the record's nonce.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

from statelessnf.store.service_requests import Claim, Ending, Expiry, deadline_of
from statelessnf.store.services import Flows, Timers

ATTEMPTS = 3  # at a record that changes between its reading and its end
OnExpire = Callable[[tuple[bytes, ...], bytes], None]


class TimedFlows(Timers, Flows, Protocol):
    """The services that a pass needs."""


@dataclass(slots=True)
class Ends:
    """What became of the flows that were claimed.

    `changed` and `unreadable` ones (the record is of another schema) stand as before, and come again after the lease.
    """

    ended: int = 0
    rearmed: int = 0  # they live longer than their timers said
    lost: int = 0  # another instance's by now
    changed: int = 0
    unreadable: int = 0

    @property
    def claimed(self) -> int:
        """All of them; as many as the limit: more may be due."""
        return sum(getattr(self, field.name) for field in fields(self))


def expire_due(services: TimedFlows, limit: int, lease: int, on_expire: OnExpire | None = None) -> Ends:
    """Claim up to `limit` timers that are due, for `lease` ms, and end their flows.

    `on_expire` gets the keys (the one that the flow was created with, then the partner) and the record of each that is
    past its deadline; what it raises ends the pass, and the flows come again. Raises StoreError; ValueError for an
    impossible limit or lease.
    """
    return end_claimed(services, services.claim(limit, lease), on_expire)


def end_claimed(services: TimedFlows, claims: Sequence[Claim], on_expire: OnExpire | None = None) -> Ends:
    """End the flows of timers that the caller has claimed. See `expire_due`."""
    ends = Ends()
    for _ in range(ATTEMPTS):
        if not claims:
            break
        readable = _read(services, claims)
        ends.unreadable += len(claims) - len(readable)
        if on_expire is not None:
            _tell(readable, services.now(), on_expire)
        claims = _end(services, readable, ends)
    ends.changed = len(claims)
    return ends


def _read(services: TimedFlows, claims: Sequence[Claim]) -> list[tuple[Claim, bytes | None]]:
    """With their records; without those that are of another schema."""
    records = services.read([claim.id for claim in claims])
    pairs = zip(claims, records, strict=True)
    return [(claim, record) for claim, record in pairs if record is None or _readable(record)]


def _readable(record: bytes) -> bool:
    try:
        deadline_of(record)
    except ValueError:
        return False
    return True


def _tell(found: Sequence[tuple[Claim, bytes | None]], now: int, on_expire: OnExpire) -> None:
    for claim, record in found:
        if record is not None and deadline_of(record) <= now:
            on_expire(claim.keys, record)


def _end(services: TimedFlows, found: Sequence[tuple[Claim, bytes | None]], ends: Ends) -> list[Claim]:
    """Adds to `ends`; gives the claims whose records have changed since they were read."""
    endings = [Ending(claim.keys, claim.token, record) for claim, record in found]
    outcomes = [expired.outcome for expired in services.expire(endings)]
    ends.ended += outcomes.count(Expiry.ended)
    ends.rearmed += outcomes.count(Expiry.rearmed)
    ends.lost += outcomes.count(Expiry.lost)
    return [claim for (claim, _), outcome in zip(found, outcomes, strict=True) if outcome is Expiry.changed]
