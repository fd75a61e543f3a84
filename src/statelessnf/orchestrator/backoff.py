"""How long a host, or a place, is left alone after what was started there failed: 0.5 s, doubled up to 60 s.

Only failures in a row count: one that comes after an instance has worked for `SETTLED` seconds, or after `QUIET`
seconds without any, is a first one. Otherwise one that is killed now and then would keep its place shut for a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST, MOST = 0.5, 60.0  # seconds
SETTLED = 5.0  # seconds
QUIET = 300.0  # seconds


@dataclass
class _Failures:
    count: int
    latest: float


class Backoff:
    """By key, whatever the caller keeps apart. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._failures: dict[str, _Failures] = {}

    def failed(self, key: str, now: float, worked: float = 0.0) -> float:
        """A start failed, or what was started did after it had `worked` for so many seconds. Returns `not_before`."""
        known = self._failures.get(key)
        again = known is not None and worked < SETTLED and now - known.latest < QUIET
        self._failures[key] = _Failures(known.count + 1 if known is not None and again else 1, now)
        return self.not_before(key)

    def not_before(self, key: str) -> float:
        """When the next start may be tried; 0: at once."""
        known = self._failures.get(key)
        if known is None:
            return 0.0
        return known.latest + min(FIRST * 2.0 ** min(known.count - 1, 10), MOST)
