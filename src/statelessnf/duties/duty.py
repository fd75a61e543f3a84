"""What an instance does beside its pipes, over and over: a duty each, with a thread each, until the instance stops.

A thread of its own, since stores, servers and collectors may be slow to answer, each for itself. What goes wrong is
said once, and tried again: the pipes go on with what is known.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from pydantic import BaseModel

from statelessnf.config import Deployment
from statelessnf.errors import SnfError

Say = Callable[[str], None]  # one line for the operator


class Duty(Protocol):
    """One thing that is looked after. Used by one thread, `close` after its last look."""

    @property
    def period(self) -> float:
        """Seconds to wait before the next look."""
        ...

    def look(self) -> None:
        """Does what is to be done now, and never waits for long. Raises SnfError for what may be better next time."""

    def close(self) -> None:
        """Gives back what it holds. Raises nothing."""


class Host(Protocol):
    """The instance, as its duties see it. Every method may be called by any thread."""

    @property
    def deployment(self) -> Deployment:
        """As its file says it."""

    @property
    def settings(self) -> BaseModel:
        """The function's section that is in force."""

    def inform(self, **found: Any) -> None:
        """Swaps in tables made of the settings `informed` of what was found, now and whenever the settings change."""

    def stats(self) -> dict[str, Any]:
        """The engine's statistics."""

    def show(self, name: str, value: object) -> None:
        """Sets a figure beside the engine's."""

    def tell(self, document: dict[str, Any]) -> None:
        """An event beside those of the engine."""

    def say(self, text: str) -> None:
        """One line for the operator."""


@contextmanager
def running(duties: Sequence[Duty], say: Say) -> Iterator[None]:
    """All of them while the context lasts; leaving it waits for the looks that are under way."""
    stop = threading.Event()
    threads = [threading.Thread(target=_repeat, args=(duty, stop, say), daemon=True) for duty in duties]
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        stop.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        for duty in duties:
            duty.close()


def _repeat(duty: Duty, stop: threading.Event, say: Say) -> None:
    said = ""
    while not stop.wait(duty.period):
        try:
            duty.look()
            said = ""
        except SnfError as error:
            if error.line() != said:  # once, not every time
                said = error.line()
                say(said)
