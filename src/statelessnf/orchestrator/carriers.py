"""Who carries the traffic.

Those that are live and not drained, the best `size` of them; those steered now stay first and in their order, new ones
are appended. One that was just adopted, and is steered but not heard yet, counts as live. Beyond that:

- Drained ones carry only where nobody else is live: a drain moves traffic away as soon as another can carry it, and
  never causes an outage.
- Where nobody at all is live, the orchestrator is more likely cut off than all of them dead: the steering stays as it
  is (static stability). Only those are taken out that are known to have ended, and those are taken in again that fell
  silent within `SAME_SILENCE` of the last one: when all beats are lost at once, one is suspected some milliseconds
  after the other, and without this the last of them would be left with all the traffic.
"""

from __future__ import annotations

from itertools import chain

from statelessnf.orchestrator.model import Health, Sighting
from statelessnf.orchestrator.roster import Roster

SAME_SILENCE = 0.1  # seconds


def carriers(roster: Roster, yielding: Sighting | None) -> tuple[str, ...] | None:
    """Names of those that are to carry, in order; `yielding` is not among them. None: nothing is known, so nothing is
    to be changed."""
    if roster.size == 0:
        return ()
    if roster.live:
        able = [one for one in roster.best if one.health is Health.live or one.name in roster.order]
        return _in_order(roster, [one for one in able if one is not yielding])
    if roster.willing:
        return _in_order(roster, roster.ranked(roster.willing))
    return _held(roster)


def _in_order(roster: Roster, able: list[Sighting]) -> tuple[str, ...]:
    """The first `size` of them; those steered before stay in their places."""
    best = [one.name for one in able[: roster.size]]
    end = len(roster.order)
    return tuple(sorted(best, key=lambda name: roster.order.get(name, end)))


def _held(roster: Roster) -> tuple[str, ...] | None:
    """Nobody is live."""
    gone = {one.name for one in chain(roster.ended, roster.leaving)}
    known = {one.name for one in roster.observed.instances}
    kept = [name for name in roster.order if name in known and name not in gone]
    silent = [one for one in chain(roster.doubted, roster.failed) if one.health is Health.suspected and not one.drained]
    latest = max((one.since for one in silent), default=0.0)
    again = [one.name for one in roster.ranked(silent) if one.since >= latest - SAME_SILENCE and one.name not in kept]
    members = (*kept, *again[: max(roster.size - len(kept), 0)])
    return members if members or roster.observed.steered is not None or not roster.coming else None
