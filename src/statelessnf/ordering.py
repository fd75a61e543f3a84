"""Which packets of a replay may enter now: one of each flow at a time, in the order of the capture.

A packet waits on one or more keys (its flow; for fragments also its datagram). It is ready once it is the oldest
unfinished packet of all of them: what was sent on a wire later may depend on what was sent before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class Ordering:
    """Unfinished packets by key. Tokens are the caller's names for packets; each key queue is first in, first out."""

    def __init__(self) -> None:
        self._queues: dict[bytes, deque[int]] = {}
        self._keys: dict[int, Sequence[bytes]] = {}

    def __len__(self) -> int:
        """Packets that are not finished."""
        return len(self._keys)

    def add(self, token: int, keys: Sequence[bytes]) -> bool:
        """Enters a packet behind all packets of its (distinct) keys; True: it is ready at once."""
        ready, queues = True, self._queues
        for key in keys:
            if (queue := queues.get(key)) is None:
                queues[key] = deque((token,))
            else:
                queue.append(token)
                ready = False
        self._keys[token] = keys
        return ready

    def first(self, key: bytes) -> int | None:
        """The oldest unfinished packet of `key`."""
        queue = self._queues.get(key)
        return queue[0] if queue else None

    def done(self, token: int) -> list[int]:
        """The packet has left or was dropped; gives those that became ready. It must have been ready itself."""
        ready, queues = [], self._queues
        for key in self._keys.pop(token):
            queue = queues[key]
            queue.popleft()
            if not queue:
                del queues[key]
            elif all(queues[other][0] == queue[0] for other in self._keys[queue[0]]):
                ready.append(queue[0])
        return ready
