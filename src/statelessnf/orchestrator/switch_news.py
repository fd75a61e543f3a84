"""What is told of the switch as such, for people: that it is away, that it is there, that it had to be mended.

Kinds: `switch-away` when it cannot be told anything, or lacks a port of a side; `switch` when it is there (again), or
holds again what it had forgotten or what somebody else had changed. Who gets the traffic is told elsewhere, as `steer`.
"""

from __future__ import annotations

from statelessnf.orchestrator.events import Events
from statelessnf.orchestrator.steering.steering import Steering


class SwitchNews:
    """Of one switch, not there at first."""

    def __init__(self, steering: Steering, events: Events) -> None:
        self._steering, self._events = steering, events
        self._there, self._restored = False, 0

    def look(self) -> None:
        """Tells what is new since the last look."""
        there, restored = self._steering.connected, self._steering.restored
        if there and restored != self._restored:
            self._events.tell("switch", "it had lost our rules, or somebody had changed them: it has them again")
        elif there and not self._there:
            self._events.tell("switch", "it is there")
        elif self._there and not there:
            self._events.tell("switch-away", "it cannot be told anything, or lacks the port of a side")
        self._there, self._restored = there, restored if there else self._restored
