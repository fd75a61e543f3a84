"""The instances that this orchestrator knows: those that it has started, and those that it has adopted."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from statelessnf.orchestrator.model import Place
from statelessnf.orchestrator.state import Entry


@dataclass
class Known:
    """An instance. `entry` is what the store has of it, the rest is found out anew by whoever adopts it.

    `sent`: by pipe, the number of its newest beat that is known. `awaited`: since when it is to be heard for the first
    time; None: it was.
    """

    entry: Entry
    sent: dict[int, int] = field(default_factory=dict)
    ending: bool = False  # it was told to end
    ended: str | None = None  # why, once it has ended
    awaited: float | None = None

    @property
    def beats(self) -> int:
        """Heartbeats that its pipes have sent, as far as is known."""
        return sum(self.sent.values())

    @property
    def place(self) -> Place:
        """Where it runs."""
        return Place(self.entry.host, self.entry.slot)


class KnownInstances:
    """By name, and by the token in its beats."""

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._known: dict[str, Known] = {}
        self._names: dict[bytes, str] = {}

    def __iter__(self) -> Iterator[Known]:
        return iter(list(self._known.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def __getitem__(self, name: str) -> Known:
        return self._known[name]

    def get(self, name: str) -> Known | None:
        """None: there is no such instance."""
        return self._known.get(name)

    def name_of(self, token: bytes) -> str | None:
        """Whose beat that is."""
        return self._names.get(token)

    def fresh(self, place: Place, revision: int, pipes: int) -> Entry:
        """What an instance that is about to be started will be called."""
        name = f"{self._deployment}-{secrets.token_hex(3)}"
        while name in self._known:
            name = f"{self._deployment}-{secrets.token_hex(3)}"
        token = secrets.token_hex(16)
        return Entry(name=name, host=place.host, slot=place.slot, revision=revision, token=token, pipes=pipes)

    def add(self, entry: Entry) -> Known:
        """A new one."""
        known = self._known[entry.name] = Known(entry)
        self._names[bytes.fromhex(entry.token)] = entry.name
        return known

    def remove(self, name: str) -> None:
        """It is gone; nothing happens if it is not there."""
        known = self._known.pop(name, None)
        if known is not None:
            del self._names[bytes.fromhex(known.entry.token)]
