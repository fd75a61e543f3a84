"""What the orchestrator's commands print: tables that fit a terminal, whole lines where the output is piped.

Texts come from hosts, switches and files: characters that a terminal would act on are replaced.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

WIDE = 10_000  # columns: nothing is cut or wrapped where no terminal is
HEALTH_STYLES = {"starting": "cyan", "live": "green", "suspected": "yellow", "ended": "red"}


def console() -> Console:
    """Standard output."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDE)


def show(shown: RenderableType) -> None:
    """Prints it; where no terminal is, without blanks at the ends of lines."""
    output = console()
    if output.is_terminal:
        output.print(shown)
        return
    with output.capture() as captured:
        output.print(shown)
    print("\n".join(text.rstrip() for text in captured.get().splitlines()), flush=True)


def clean(text: object) -> str:
    """Without anything that is not printed as it is."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in str(text))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], styles: Sequence[str] = ()) -> RenderableType:
    """Left-aligned columns; `styles`: of each row, where given."""
    made = Table(*columns, box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for index, row in enumerate(rows):
        made.add_row(*(Text(clean(cell)) for cell in row), style=styles[index] if index < len(styles) else "")
    return made


def line(text: str, style: str = "") -> Text:
    """One line."""
    return Text(clean(text), style)


def seconds(value: float) -> str:
    """A length of time by its two largest units: `4.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(int(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def clock(moment: float) -> str:
    """Date and time on this machine's clock, to the millisecond."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) + f"{moment % 1:.3f}"[1:]
    except (OverflowError, ValueError, OSError):
        return str(moment)
