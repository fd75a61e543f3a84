"""`python -m statelessnf.bench.plain INSIDE OUTSIDE`: a process that forwards every frame and reads none.

What an instance is compared with on real ports. It ends by SIGTERM, or when nobody reads its lines any more; these are
JSON, one a second, with the names that an instance's have.
"""

from __future__ import annotations

import json
import signal
import sys
import threading

from statelessnf import _engine

PERIOD = 1.0  # seconds between two lines


def forward(inside: str, outside: str) -> None:
    """Until SIGTERM. Raises RuntimeError where a port cannot be opened, BrokenPipeError where nobody listens."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    forwarder = _engine.Forwarder(inside, outside)
    while not stop.is_set():
        line = {"forwarded": forwarder.forwarded(), "reads": 0, "commits": 0, "dropped": 0, "store_available": True}
        print(json.dumps(line), flush=True)
        stop.wait(PERIOD)


if __name__ == "__main__":
    forward(*sys.argv[1:])
