"""The end of flows that have timers: records, counters and timers go together, by whichever instance is first."""

from __future__ import annotations

from collections.abc import Callable

from statelessnf.store.expiry import OnExpire

PERIOD = 1.0  # seconds
MOST = 2000  # timers in one pass, which takes some tens of milliseconds
LEASE = 10_000  # ms; what an instance claimed and died of, another one ends after that


class Expiry:
    """A duty (duty.py). `expire(on_expire)`: one pass over at most MOST due timers; gives how many there were."""

    def __init__(self, expire: Callable[[OnExpire], int], on_expire: OnExpire, close_store: Callable[[], None]) -> None:
        self._expire, self._on_expire, self._close_store = expire, on_expire, close_store
        self.period = PERIOD

    def look(self) -> None:
        """See `Duty`. While more is due than a pass takes, the next look comes at once."""
        self.period = PERIOD
        if self._expire(self._on_expire) >= MOST:
            self.period = 0.0

    def close(self) -> None:
        """See `Duty`."""
        self._close_store()
