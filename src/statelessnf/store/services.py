"""The contract of the store services: timers, flows whose life a timer ends, and counters (protocol.md, rules 5, 10).

Two back ends: `MemoryServices` for `store = "memory"` and tests, `ValkeyServices` for all else. A service has a name
within its deployment (the function's, say); who claims under a name gets all timers of it. Every method takes many
requests of different ids and answers in their order. Times are milliseconds of the store's clock.

- A timer is claimed by one caller at a time. Who claimed it ends it, moves it, or (a flow's) expires it; if that does
  not happen within the lease, the timer is handed out again and the old claim is refused from then on.
- A flow's record, counter and timer come together and go together: store effects happen exactly once, whoever dies.
- Tokens are made by the caller (`new_token`) and used once. A request whose fate is unknown (StoreUnavailable) may be
  made again with the same token: `arm` and `move` recognise it; `create` answers with one's own record, known by its
  nonce; `end` and `expire` answer that it is not there any more.

Every method raises StoreError; then any of the requests may have been done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

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
)


class Timers(Protocol):
    """Timers without a record, or of flows."""

    def now(self) -> int:
        """The store's clock."""

    def arm(self, timers: Sequence[Timer]) -> list[bool]:
        """Create each; False: there is one with that id."""

    def move(self, moves: Sequence[Move]) -> list[bool]:
        """Another due time and token, also for a claimed one; False: the old token does not stand."""

    def hasten(self, dues: Sequence[tuple[bytes, int]]) -> None:
        """(id, due): fire no later than `due`, where the timer still is. Early is harmless for a flow's timer, which
        looks at the record's deadline; so this needs no token, and goes with the commit that shortens a life.
        """

    def end(self, endings: Sequence[tuple[bytes, bytes]]) -> list[bool]:
        """(id, token): cancel it, or acknowledge it by the claim's token. False: not that token's, or a flow's."""

    def claim(self, limit: int, lease: int) -> list[Claim]:
        """Up to `limit` timers that are due, for `lease` ms. An empty list: none was."""


class Flows(Protocol):
    """Records whose life a timer ends."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The records that stand."""

    def create(self, flows: Sequence[NewFlow]) -> list[Created]:
        """Record, counter + 1 and timer, or nothing."""

    def expire(self, endings: Sequence[Ending]) -> list[Expired]:
        """Record, counter and timer end together, or nothing does. An `on_expire` has run on `old` before."""

    def change_pairs(self, changes: Sequence[PairChange]) -> list[PairChanged]:
        """Both keys are set where both had the old value."""


class Counters(Protocol):
    """Sums over all shards of what `create` and `expire` did."""

    def counts(self) -> dict[bytes, int]:
        """By name; what is 0 is not there. Shards are read one after another, each of them exact."""


class Services(Timers, Flows, Counters, Protocol):
    """What a back end is."""
