"""How long one that was started may be silent before it has failed: longer where that has turned out to be too short.

Functions are compiled at a first start, and machines are busy: killed after the same time again and again, an instance
would never be ready, and its starts would keep the machine busy.
"""

from __future__ import annotations

FIRST, MOST = 10.0, 160.0  # seconds


class StartPatience:
    """Of one deployment. `seconds`: what the next start is given."""

    def __init__(self) -> None:
        self.seconds = FIRST

    def heard(self, after: float) -> None:
        """An instance was heard for the first time, so many seconds after its start: the next may take twice that."""
        self.seconds = min(max(2 * after, FIRST), MOST)

    def given_up(self, after: float) -> None:
        """One was not heard for so many seconds: twice as long from now on, once for all that were given as long."""
        if after >= self.seconds:
            self.seconds = min(2 * self.seconds, MOST)
