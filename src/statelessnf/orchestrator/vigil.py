"""Watches over the instances' lives: beats are heard, silence is noticed in time, and whoever plans is told of changes.

On a `PatientLoop` silence is looked for within the event loop's wait, which costs least; on any other one by a timer.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence
from math import inf

from statelessnf.orchestrator.beat_listener import BeatListener
from statelessnf.orchestrator.beats import Beat
from statelessnf.orchestrator.patience import Patience
from statelessnf.orchestrator.patient_loop import PatientLoop
from statelessnf.orchestrator.sightings import Sightings
from statelessnf.orchestrator.suspicion import Change

Changed = Callable[[Sequence[Change]], None]


class Vigil:
    """Within one event loop. `changed`: is called with what became of whom, at the moment when it is noticed."""

    def __init__(self, sightings: Sightings, changed: Changed) -> None:
        self._sightings, self._changed = sightings, changed
        self._loop = asyncio.get_running_loop()
        self._patient = self._loop.patient if isinstance(self._loop, PatientLoop) else None
        self._listener: BeatListener | None = None
        self._patience: Patience | None = None
        self._soon: asyncio.Handle | None = None  # a look that is about to be taken
        self._timer: asyncio.Handle | None = None

    def listen(self, listener: BeatListener) -> None:
        """Beats come from there from now on, by `heard`."""
        self._listener, self._patience = listener, Patience(self._sightings, listener)

    def begin(self) -> None:
        """Silence is noticed from now on. What is in memory by now is here to stay: garbage is looked for elsewhere.

        A whole pass of Python's collector over all modules would keep the loop from anything else for 100 ms.
        """
        gc.collect()
        gc.freeze()
        if self._patient is not None:
            self._patient.put_off = self._put_off
        self._arm()

    def end(self) -> None:
        """And no more."""
        gc.unfreeze()
        if self._patient is not None:
            self._patient.due = inf
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()

    def read(self) -> None:
        """What the pipes have counted so far."""
        if self._listener is not None:
            self._listener.drain()

    def heard(self, token: bytes, beat: Beat, now: float) -> None:
        """A beat of an instance."""
        news = self._sightings.heard(token, beat, now)
        if self._soon is None and (news or self._sightings.suspicion.guarded):
            self._soon = self._loop.call_soon(self._look if news else self._expire)

    def _put_off(self, now: float) -> float:
        """The next deadline if everybody was heard, which is all that may be asked within the loop's wait."""
        if self._patience is not None and self._patience.cheap and self._patience.spares(now):
            return self._sightings.suspicion.next_deadline
        self._timer = self._loop.call_soon(self._expire)
        return inf

    def _expire(self) -> None:
        """Somebody may have been silent for too long."""
        self._taken()
        if self._patience is not None and self._patience.spares(self._loop.time()):
            self._arm()
        else:
            self._look()

    def _look(self) -> None:
        """Who is alive? All beats that have come are heard first: silence is judged by nothing less."""
        self.read()
        self._taken()
        changes = self._sightings.suspicion.look(self._loop.time())
        if changes:
            self._changed(changes)
        self._arm()

    def _taken(self) -> None:
        """The look that was about to be taken is."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None

    def _arm(self) -> None:
        """One timer, for the earliest end of patience."""
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._sightings.suspicion.next_deadline
        if self._patient is not None:
            self._patient.due = deadline
        elif deadline < inf:
            self._timer = self._loop.call_at(deadline, self._expire)
