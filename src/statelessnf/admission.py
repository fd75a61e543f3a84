"""Whether new flows are taken: not while the store is nearly full (protocol.md, rule 11).

At its `maxmemory` a store refuses changes of existing records, too. So new flows stop before (drop reason
`store_full`), and existing ones go on in what is left. New ones are taken again well below, so that it does not flip
with every flow.
"""

from __future__ import annotations

STOP = 0.85  # of the store's memory
RESUME = 0.80


class Admission:
    """Remembers what it said last."""

    def __init__(self) -> None:
        self.open = True

    def look(self, share: float) -> bool:
        """Whether new flows are taken while `share` (0 to 1) of the store's memory is in use."""
        self.open = share < (STOP if self.open else RESUME)
        return self.open
