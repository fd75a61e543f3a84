"""The end of flows that have timers: records, counters and timers go together, by whichever instance is first."""

from __future__ import annotations

from collections.abc import Callable

PERIOD = 1.0  # seconds
MOST = 2000  # timers in one pass, which takes some tens of milliseconds
LEASE = 10_000  # ms; what an instance claimed and died of, another one ends after that

OnExpire = Callable[[tuple[bytes, ...], bytes], None]
"""Keys (the timer's first) and record of a flow, before it is ended. Where the instance dies in between, another one
calls it again for the same flow and the same record."""


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
