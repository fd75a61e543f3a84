"""How a story is shown: a live panel on a terminal, plain lines elsewhere, nothing with `--json`.

What has been said, the orchestrator's events among it, stands above the panel.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from statelessnf.demo.chronicle import Happening, Seen

SPAN = 10
REDRAW = 3
_STYLES = {"live": "green", "suspected": "bold yellow", "ended": "bold red"}


@dataclass(frozen=True)
class Board:
    """What is to be seen at one moment, `time` seconds since the story began.

    `done`: share of the story; `figures`: words by name; `rates`: words for the instance in a slot.
    """

    time: float
    done: float
    figures: Mapping[str, str]
    instances: Sequence[Seen]
    rates: Mapping[int, str] = field(default_factory=dict)


class View(Protocol):
    """What a story tells whoever watches."""

    def say(self, text: str) -> None:
        """Something happened."""

    def update(self, board: Board) -> None:
        """Ten times a second: how it is now."""


def say_all(view: View, happened: Sequence[Happening]) -> None:
    """The orchestrator's events, as they come."""
    for one in happened:
        view.say(one.line())


class Silent:
    """For `--json`: nothing but the document at the end."""

    def say(self, text: str) -> None:
        """Says nothing."""

    def update(self, board: Board) -> None:
        """Shows nothing."""


class Lines:
    """Plain text, a line a second."""

    def __init__(self) -> None:
        self._count = 0

    def say(self, text: str) -> None:
        """Print the text."""
        print(text, flush=True)

    def update(self, board: Board) -> None:
        """Print every tenth board."""
        self._count += 1
        if self._count % SPAN == 0:
            print(_line(board), flush=True)


class Panel:
    """A panel that is drawn again a few times a second, below what has been said."""

    def __init__(self) -> None:
        self._live, self._count = Live(console=Console(), auto_refresh=False), 0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Print the text above the panel."""
        self._live.console.print(text, highlight=False, markup=False)

    def update(self, board: Board) -> None:
        """Draw the panel again, at every third board."""
        self._count += 1
        if self._count % REDRAW == 0:
            self._live.update(_panel(board), refresh=True)


@contextmanager
def open_view(json: bool) -> Iterator[View]:
    """The view that fits where standard output goes."""
    if json:
        yield Silent()
    elif sys.stdout.isatty():
        with Panel() as panel:
            yield panel
    else:
        yield Lines()


def _state(board: Board, one: Seen) -> str:
    traffic = board.rates.get(one.slot, "") if one.steered else "no traffic"
    return f"{one.health}, {traffic}" if traffic else one.health


def _line(board: Board) -> str:
    figures = "  ".join(f"{name} {words}" for name, words in board.figures.items())
    instances = "  ".join(f"{one.name} {_state(board, one)}" for one in board.instances)
    return f"{board.time:6.2f} s  {100 * board.done:3.0f} %  {figures}  {instances}"


def _panel(board: Board) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for name, words in board.figures.items():
        table.add_row(name, words)
    for one in board.instances:
        table.add_row(one.name, Text(_state(board, one), style=_STYLES.get(one.health, "")))
    return Group(ProgressBar(total=1.0, completed=board.done, width=60), table)
