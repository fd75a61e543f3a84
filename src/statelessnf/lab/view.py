"""How the demo shows its progress: a live panel on a terminal, plain lines elsewhere, nothing with `--json`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from statelessnf.lab.result import Result, Sample

SPAN = 10
REDRAW = 3


class View(Protocol):
    """What the demo tells whoever watches."""

    def say(self, text: str) -> None:
        """Something happened."""

    def update(self, result: Result) -> None:
        """Another sample is there."""


class Silent:
    """For `--json`: nothing but the document at the end."""

    def say(self, text: str) -> None:
        """Says nothing."""

    def update(self, result: Result) -> None:
        """Shows nothing."""


class Lines:
    """Plain text, a line a second."""

    def say(self, text: str) -> None:
        """Print the text."""
        print(text, flush=True)

    def update(self, result: Result) -> None:
        """Print every tenth sample."""
        if len(result.samples) % SPAN == 0:
            print(_line(result), flush=True)


class Panel:
    """A panel that is drawn again a few times a second, below what has been said."""

    def __init__(self) -> None:
        self._live = Live(console=Console(), auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Print the text above the panel."""
        self._live.console.print(text, highlight=False)

    def update(self, result: Result) -> None:
        """Draw the panel again, at every third sample."""
        if len(result.samples) % REDRAW == 0:
            self._live.update(_panel(result), refresh=True)


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


def _rate(result: Result, value: Callable[[Sample], int]) -> float:
    """A total's growth per second over the last second."""
    first, last = result.samples[-SPAN - 1 :][0], result.samples[-1]
    return (value(last) - value(first)) / (last.time - first.time) if last.time > first.time else 0.0


def _line(result: Result) -> str:
    last = result.samples[-1]
    broken = len(result.ended) - result.completed
    rates = "  ".join(f"instance {i} {_state(result, i)}" for i in range(len(last.packets)))
    goodput = _rate(result, lambda sample: sample.bytes) * 8 / 1e6
    return (
        f"{last.time:6.1f} s  {100 * last.bytes / (result.files * result.size):5.1f} %  {goodput:6.0f} Mbit/s  "
        f"{last.running} running, {result.completed} complete, {broken} broken  {rates}  store {_store(result)}"
    )


def _state(result: Result, instance: int) -> str:
    if not result.samples[-1].alive[instance]:
        return "killed"
    return f"{_rate(result, lambda sample: sample.packets[instance]) / 1e3:.0f} k packets/s"


def _store(result: Result) -> str:
    reads, commits = _rate(result, lambda sample: sample.reads), _rate(result, lambda sample: sample.commits)
    return f"{reads:.0f} reads/s, {commits:.0f} commits/s"


def _panel(result: Result) -> RenderableType:
    last, broken = result.samples[-1], len(result.ended) - result.completed
    table = Table.grid(padding=(0, 2))
    goodput = _rate(result, lambda sample: sample.bytes) * 8 / 1e6
    table.add_row("downloads", f"{last.running} running, {result.completed} complete, {broken} broken")
    table.add_row("goodput", f"{goodput:.0f} Mbit/s")
    for i, alive in zip(count(), last.alive, strict=False):
        table.add_row(f"instance {i}", Text(_state(result, i), style="" if alive else "bold red"))
    table.add_row("store", _store(result))
    return Group(ProgressBar(total=result.files * result.size, completed=last.bytes, width=60), table)
