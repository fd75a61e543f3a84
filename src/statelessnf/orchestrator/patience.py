"""Whether a look at all instances can be spared: one question to the listener's table in place of one for each pipe.

As long as all is well, which is nearly always, silence is looked for and there is none: by the beats themselves where
the kernel helps and there are enough of them, else about a hundred times a second.
"""

from __future__ import annotations

from statelessnf.orchestrator.beat_listener import BeatListener
from statelessnf.orchestrator.sightings import Sightings


class Patience:
    """Between one listener and what is known of the instances."""

    def __init__(self, sightings: Sightings, listener: BeatListener) -> None:
        self._sightings, self._listener = sightings, listener
        self._expected = -1  # the generation of `awaited` that the listener expects

    @property
    def cheap(self) -> bool:
        """`spares` reads a table that the kernel writes, and does nothing else."""
        return self._listener.helped

    def spares(self, now: float) -> bool:
        """True: everybody who is live was heard, and nobody else; the next deadline is set. False: look."""
        suspicion = self._sightings.suspicion
        if self._expected != suspicion.generation and not self._expect():
            return False
        oldest = self._listener.oldest()  # may hear of other pipes
        if oldest is None or self._expected != suspicion.generation or not suspicion.spared(oldest, now):
            return False
        if self._listener.guard(suspicion.limit):
            suspicion.guard(now)
        return True

    def _expect(self) -> bool:
        suspicion, known = self._sightings.suspicion, self._sightings.known
        awaited = {bytes.fromhex(known[name].entry.token): pipes for name, pipes in suspicion.awaited().items()}
        complete = self._listener.expect(awaited)
        self._expected = suspicion.generation if complete else -1
        return complete
