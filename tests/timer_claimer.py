"""A claimer of timers in a process of its own, for tests that kill it: `timer_claimer.py SOCKET LEASE_MS HOLD_AFTER`.

It ends flows until its input is closed, then writes how many it ended, had armed again, lost and found changed. With
HOLD_AFTER >= 0 it does so for that many flows only; of what it claims next it ends a half, then writes `holding` and
does nothing more, so that it can be killed with claims in its hands.
"""

from __future__ import annotations

import select
import sys
from collections import Counter
from pathlib import Path

from statelessnf.store.client import StoreClient
from statelessnf.store.service_requests import Claim, Ending, Expiry
from statelessnf.store.url import unix_url
from statelessnf.store.valkey_services import ValkeyServices

DEPLOYMENT = 5
NAME = b"crash"
BATCH = 1000
PAUSE = 0.01  # seconds without anything due


def end_flows(services: ValkeyServices, claims: list[Claim], outcomes: Counter[Expiry]) -> None:
    """What an instance does with claims: read the records, end the flows."""
    records = services.read([claim.id for claim in claims])
    endings = [Ending(claim.keys, claim.token, old) for claim, old in zip(claims, records, strict=True)]
    outcomes.update(expired.outcome for expired in services.expire(endings))


def told_to_end(patience: float) -> bool:
    return bool(select.select([sys.stdin], [], [], patience)[0])


def serve(services: ValkeyServices, lease: int, hold_after: int) -> Counter[Expiry]:
    outcomes: Counter[Expiry] = Counter()
    found = 1
    while not told_to_end(0 if found else PAUSE):
        claims = services.claim(BATCH, lease)
        found = len(claims)
        if claims and 0 <= hold_after <= outcomes.total():
            end_flows(services, claims[::2], outcomes)
            print("holding", flush=True)
            sys.stdin.read()
        end_flows(services, claims, outcomes)
    return outcomes


def main(socket: str, lease: str, hold_after: str) -> None:
    with StoreClient(unix_url(str(Path(socket)))) as client:
        services = ValkeyServices(client, DEPLOYMENT, NAME)
        outcomes = serve(services, int(lease), int(hold_after))
        print(*(outcomes[outcome] for outcome in Expiry), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
