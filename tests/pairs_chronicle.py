"""A simulated store that remembers: which record stood under which key, from which of its turns to which.

`Chronicle.stood` and `Chronicle.was_absent` say what a reader could have found in a span of turns, whoever asked. A
record that expired counts as present and as absent in the turn in which it did. Keys are named without their hash tag.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from statelessnf.store.simulated import SimulatedServer
from statelessnf.store.simulated_link import Link

FOR_EVER = 1 << 62
TAG = 4  # bytes of a key's hash tag


@dataclass(slots=True)
class Stood:
    """A value and when it was there: from after turn `first` to after turn `last`."""

    key: bytes
    value: bytes
    writer: int  # number of the link
    first: int
    last: int = FOR_EVER
    gone_us: int = FOR_EVER  # the store's clock
    expired: bool = False
    before: bytes | None = None  # what it replaced

    def was_there(self, since: int, until: int) -> bool:
        """In any of these turns."""
        return self.first <= until and self.last >= since and self.first <= self.last


class Chronicle(SimulatedServer):
    """`turn` is told by whoever lets the store act. `fresh`: written since somebody last took them away."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0
        self.fresh: list[Stood] = []
        self._history: dict[bytes, list[Stood]] = defaultdict(list)
        self._passing = False

    def advance(self, microseconds: int) -> None:
        """See SimulatedServer."""
        self._passing = True
        super().advance(microseconds)
        self._passing = False

    def write(self, link: Link, key: bytes, value: bytes, expire_at: int | None) -> None:
        """See SimulatedServer."""
        stood = Stood(key[TAG:], value, link.number, self.turn, before=self.values.get(key))
        self._end(key, expired=False)
        self._history[stood.key].append(stood)
        self.fresh.append(stood)
        super().write(link, key, value, expire_at)

    def stood(self, key: bytes, since: int, until: int, since_us: int = FOR_EVER) -> Iterator[Stood]:
        """What was under the key in any of these turns, or at `since_us` and after it; the latest first."""
        for each in reversed(self._history[key]):
            if each.was_there(since, until) or (each.first <= until and each.gone_us >= since_us):
                yield each

    def written(self, key: bytes, since: int, until: int) -> Iterator[Stood]:
        """What was written under the key in these turns, also if it was gone at once."""
        return (each for each in self._history[key] if since <= each.first <= until)

    def was_absent(self, key: bytes, since: int, until: int) -> bool:
        """Whether nothing was there in any of these turns."""
        turn = since
        for each in self._history[key]:
            if each.first > turn and turn <= until and each.last >= since:
                return True
            if each.last >= since:
                turn = max(turn, each.last + (0 if each.expired else 1))
        return turn <= until

    def _remove(self, key: bytes) -> None:
        self._end(key, expired=self._passing)
        super()._remove(key)

    def _end(self, key: bytes, expired: bool) -> None:
        history = self._history[key[TAG:]]
        if history and history[-1].last == FOR_EVER:
            stood = history[-1]
            stood.last, stood.gone_us, stood.expired = self.turn - (not expired), self.now_us, expired
