"""How much can carry: so many instances of so many pipes each, and the ladder from one such level to the next; pure.

Upwards, each instance gets more pipes (§5.1) before there are more instances; downwards, instances go before pipes do.
Each step up makes the worth larger, each step down smaller, wherever it begins: an operator may have left the ladder.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Level:
    """`size` instances, of `pipes` pipes each."""

    size: int
    pipes: int

    @property
    def worth(self) -> int:
        """Pipes of all instances together."""
        return self.size * self.pipes

    def beside(self, other: Level) -> str:
        """For people who see both: the size; and the pipes of each instance, if those are different."""
        return str(self.size) if self.pipes == other.pipes else f"{self.size} x {self.pipes} pipes"


@dataclass(frozen=True)
class Ladder:
    """`minimum` to `maximum` instances, of `least` to `most` pipes each."""

    minimum: int
    maximum: int
    least: int = 1
    most: int = 1

    def within(self, level: Level) -> Level:
        """The nearest level that is allowed."""
        size = min(max(level.size, self.minimum), self.maximum)
        return Level(size, self.pipes(level.pipes))

    def pipes(self, number: int) -> int:
        """The nearest number of pipes that is allowed."""
        return min(max(number, self.least), self.most)

    def up(self, level: Level, worth: float) -> Level:
        """One step up, or as many as reach `worth`; the highest level where none does, `level` if it is that."""
        if level.pipes < self.most and (level.size * self.most >= worth or level.size >= self.maximum):
            return Level(level.size, min(max(level.pipes + 1, ceil(worth / level.size)), self.most))
        if level.size >= self.maximum:
            return level
        return Level(min(max(level.size + 1, ceil(worth / self.most)), self.maximum), self.most)

    def down(self, level: Level) -> Level | None:
        """One step down; None: there is none."""
        if level.size > self.minimum:
            return Level(level.size - 1, level.pipes)
        return Level(level.size, level.pipes - 1) if level.pipes > self.least else None
