"""Who is believed to be alive, by beats alone; pure: the caller says what time it is.

An instance is `starting` until each of its pipes has beaten and has its store; then it is `live`; `suspected` as soon
as one of its pipes is silent for `limit`; and live again when each of its pipes has beaten since. A suspicion may be
wrong and costs little: traffic moves to others and back, and no connection breaks. One that is doomed, since a pipe of
it has ended, is suspected at once and never live again.

The caller reads all beats that wait, hands them to `heard`, and calls `look` when `heard` says so or `next_deadline` is
reached. If that is late, it was the caller that slept, and silence proves nothing: the beats may still be on their way,
and other processes may have slept, too. Then nobody is suspected for as long again, at most for `limit`: by then each
instance that runs has beaten. A caller that is late all the time gets no more than `2 * limit` of such grace.

While others' beats find who is silent (`guard`), there is no knowing how late a look is, but many beats that tell:

- Somebody was heard within the last half of `limit`, and that was SETTLED ago: the machine has received since, so
  silence is silence, and is judged at once. If it was less long ago, it is judged SETTLED after it: the whole machine
  may have stood still until then, and other beats may still be on their way.
- Nobody was: silence proves nothing, and there is the grace of one who is late by `limit`.

A caller that knows by itself that each pipe in `awaited` was heard lately says so to `spared`, which is cheaper than to
tell of every beat; `awaited` is the same for as long as `generation` is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf

from statelessnf.orchestrator.model import Health

FAULT_SECONDS = 300.0  # a suspicion counts for so long
GUARD = 0.1  # seconds between two looks while others tell of silence
PUNCTUAL = 0.002  # seconds: what a timer is late by when nothing is wrong
SETTLED = 0.002  # seconds: once one beat has come, all others that were held up with it have come, too


@dataclass(frozen=True)
class Change:
    """The health of an instance became another one. `pipe`, if it was suspected: the one silent for `seconds`."""

    name: str
    health: Health
    pipe: int = 0
    seconds: float = 0.0


@dataclass
class _Watched:
    """`beats`: when each pipe was heard last; -inf: never, or not since it was to be heard again."""

    beats: list[float]
    health: Health
    since: float
    doomed: bool = False
    faults: deque[float] = field(default_factory=deque)


class Suspicion:
    """The health of all instances. Times are seconds of one clock; `limit` is the longest silence, in seconds."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.next_deadline = inf  # when `look` is to be called at the latest
        self.generation = 0
        self._watched: dict[str, _Watched] = {}
        self.guarded = False  # others tell of silence, sooner than `next_deadline`
        self._quiet_until = -inf  # nobody is suspected before
        self._graced = 0.0  # grace given since the last look that was in time

    def watch(self, name: str, pipes: int, now: float, *, adopted: bool = False) -> None:
        """An instance from now on: started a moment ago, or `adopted`, which is live unless it falls silent."""
        self.generation += 1
        health = Health.live if adopted else Health.starting
        self._watched[name] = _Watched([now if adopted else -inf] * pipes, health, now)
        if adopted:
            self.next_deadline = min(self.next_deadline, now + self.limit)

    def forget(self, name: str) -> None:
        """No such instance any more."""
        self.generation += 1
        self._watched.pop(name, None)

    def ended(self, name: str, now: float) -> bool:
        """Its driver says that it has ended, which is final. False: that was known, or there is no such instance."""
        one = self._watched.get(name)
        if one is None or one.health is Health.ended:
            return False
        self.generation += 1
        one.health, one.since = Health.ended, now
        return True

    def doom(self, name: str, now: float) -> Change | None:
        """A pipe of it has ended: no beat helps any more. None: it was not live."""
        one = self._watched.get(name)
        if one is None:
            return None
        one.doomed = True
        if one.health is not Health.live:
            return None
        self.generation += 1
        one.health, one.since = Health.suspected, now
        return Change(name, Health.suspected)

    def heard(self, name: str, pipe: int, pipes: int, ready: bool, now: float) -> bool:
        """A beat of pipe `pipe` of `pipes`; `ready`: it has its store, or needs none. True: `look` has news."""
        one = self._watched.get(name)
        if one is None:
            return False
        if pipes != len(one.beats):
            self.generation += 1
            one.beats = [*one.beats[:pipes], *[now if one.health is Health.live else -inf] * (pipes - len(one.beats))]
        if one.health is Health.live:
            one.beats[pipe] = now
            return False
        if ready or one.health is Health.suspected:
            one.beats[pipe] = now
        return self._sound(one, now)

    def look(self, now: float) -> tuple[Change, ...]:
        """What has changed, and from when on: sets `next_deadline`."""
        self._grace(now)
        looked_at = (self._looked_at(name, one, now) for name, one in self._watched.items())
        changes = tuple(change for change in looked_at if change is not None)
        self.generation += len(changes)
        oldest = min((min(one.beats) for one in self._watched.values() if one.health is Health.live), default=inf)
        self.next_deadline = max(oldest + self.limit, self._quiet_until)
        return changes

    def awaited(self) -> dict[str, int]:
        """Live instances, whose silence is looked for, and how many pipes each has."""
        return {name: len(one.beats) for name, one in self._watched.items() if one.health is Health.live}

    def spared(self, oldest: float, now: float) -> bool:
        """Each pipe of `awaited` was heard at `oldest` or later. True: nobody is silent; `next_deadline` is moved on.

        False: only `look` can tell. Nothing has happened then.
        """
        blind = self.guarded and now - self.next_deadline > PUNCTUAL  # nobody beat who could have told
        if oldest + (self.limit / 2 if blind else self.limit) <= now:
            return False
        if self.guarded:
            self._graced = 0.0
        else:
            self._grace(now)
        self.guarded = False
        self.next_deadline = max(oldest + self.limit, self._quiet_until)
        return True

    def guard(self, now: float) -> None:
        """Somebody else finds whoever is silent from now on: `look` need be called only when that one says so.

        That look may be in time and yet come right after a standstill: see above.
        """
        self.guarded = True
        self.next_deadline = max(self.next_deadline, now + GUARD)

    def health(self, name: str) -> tuple[Health, float]:
        """What is believed, and since when. Raises KeyError for a name that is not watched."""
        one = self._watched[name]
        return one.health, one.since

    def faults(self, name: str, now: float) -> int:
        """How many times it was suspected within the last `FAULT_SECONDS`."""
        faults = self._watched[name].faults
        while faults and faults[0] <= now - FAULT_SECONDS:
            faults.popleft()
        return len(faults)

    def _grace(self, now: float) -> None:
        guarded, self.guarded = self.guarded, False
        late = self.limit if guarded else now - self.next_deadline
        if late > PUNCTUAL and self._graced < 2 * self.limit:
            grace = self._doubt(now) if guarded else min(late, self.limit)
            self._graced += grace
            self._quiet_until = now + grace
        elif 0 <= late <= PUNCTUAL:
            self._graced = 0.0

    def _doubt(self, now: float) -> float:
        """Seconds for which silence proves nothing yet, though others' beats told of it."""
        beats = (beat for one in self._watched.values() if one.health is Health.live for beat in one.beats)
        received = min((beat for beat in beats if beat > now - self.limit / 2), default=None)
        return self.limit if received is None else max(0.0, received + SETTLED - now)

    def _looked_at(self, name: str, one: _Watched, now: float) -> Change | None:
        if one.health is Health.live:
            return self._suspected(name, one, now)
        if one.health is Health.ended or not self._sound(one, now):
            return None
        one.health, one.since = Health.live, now
        return Change(name, Health.live)

    def _suspected(self, name: str, one: _Watched, now: float) -> Change | None:
        oldest = min(one.beats)
        if oldest + self.limit > now or now < self._quiet_until:
            return None
        change = Change(name, Health.suspected, one.beats.index(oldest), now - oldest)
        one.health, one.since = Health.suspected, now
        one.beats = [-inf] * len(one.beats)
        one.faults.append(now)
        return change

    def _sound(self, one: _Watched, now: float) -> bool:
        """Whether each of its pipes was heard a moment ago."""
        return one.health is not Health.ended and not one.doomed and min(one.beats) + self.limit > now
