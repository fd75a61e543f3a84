"""How full a NAT's pool is, seen before it is exhausted.

The figure `pool_use` is sessions divided by pairs of external address and port; of two IP versions by the fewer pairs.
A session takes one pair, of one protocol and (with filtering by address and port) towards one remote endpoint. So the
figure is an upper bound of the share that is taken of any protocol's pairs towards any remote endpoint, for the whole
pool: below 1 there are free pairs for everybody, and above 1 there may be. It says nothing of single addresses: an
inner address keeps to one external address, whose ports may be taken first, and to its block of them, if there is a
quota.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from statelessnf.duties.duty import Host
from statelessnf.functions.nat_config import NatConfig

PERIOD = 1.0  # seconds
LEVELS = (0.80, 0.95)  # at each of them the operator is told
BELOW = 0.05  # so far below a level it is over


def pairs(settings: NatConfig) -> int:
    """External address and port, of the IP version that has fewer."""
    sums = [sum(span.size * (last - first + 1) for span, (first, last) in settings.spans(v)) for v in (4, 6)]
    return min(number for number in sums if number)


class PoolUse:
    """A duty (duty.py). `sessions`: how many there are, of the whole deployment."""

    def __init__(self, host: Host, sessions: Callable[[], int], close_store: Callable[[], None]) -> None:
        self._host, self._sessions, self._close_store = host, sessions, close_store
        self._level = 0  # levels reached
        self.period = PERIOD

    def look(self) -> None:
        """See `Duty`."""
        share = self._sessions() / pairs(cast(NatConfig, self._host.settings))
        self._host.show("pool_use", round(share, 4))
        before, self._level = self._level, self._level_at(share)
        if self._level > before:
            do = "add external addresses, or lower the time-outs"
            self._host.say(f"the NAT's pool is {share:.0%} in use; {do} before flows find no port (no_port_left)")
        elif self._level < before:
            self._host.say(f"the NAT's pool is {share:.0%} in use")

    def close(self) -> None:
        """See `Duty`."""
        self._close_store()

    def _level_at(self, share: float) -> int:
        reached = sum(share >= level for level in LEVELS)
        kept = sum(share >= level - BELOW for level in LEVELS[: self._level])
        return max(reached, kept)
