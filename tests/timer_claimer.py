"""A claimer of timers in a process of its own, for tests that kill it: `timer_claimer.py SOCKET LEASE_MS HOLD_AFTER`.

It ends flows until its input is closed, then writes how many it ended, had armed again, lost, found changed and found
unreadable. With HOLD_AFTER >= 0 it does so for that many flows only; of what it claims next it ends a half, then writes
`holding` and does nothing more, so that it can be killed with claims in its hands.
"""

from __future__ import annotations

import select
import sys
from dataclasses import astuple
from pathlib import Path

from statelessnf.store.client import StoreClient
from statelessnf.store.expiry import Ends, end_claimed
from statelessnf.store.url import unix_url
from statelessnf.store.valkey_services import ValkeyServices

DEPLOYMENT = 5
NAME = b"crash"
BATCH = 1000
PAUSE = 0.01  # seconds without anything due


def told_to_end(patience: float) -> bool:
    return bool(select.select([sys.stdin], [], [], patience)[0])


def serve(services: ValkeyServices, lease: int, hold_after: int) -> Ends:
    total = Ends()
    found = 1
    while not told_to_end(0 if found else PAUSE):
        claims = services.claim(BATCH, lease)
        found = len(claims)
        if claims and 0 <= hold_after <= total.claimed:
            end_claimed(services, claims[::2])
            print("holding", flush=True)
            sys.stdin.read()
        ends = end_claimed(services, claims)
        total = Ends(*(sum(counts) for counts in zip(astuple(total), astuple(ends), strict=True)))
    return total


def main(socket: str, lease: str, hold_after: str) -> None:
    with StoreClient(unix_url(str(Path(socket)))) as client:
        services = ValkeyServices(client, DEPLOYMENT, NAME)
        print(*astuple(serve(services, int(lease), int(hold_after))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
