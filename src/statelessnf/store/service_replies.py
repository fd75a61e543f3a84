"""Replies of the store's library, checked as they enter: what it cannot have said raises StoreReplyError."""

from __future__ import annotations

from statelessnf.errors import StoreReplyError
from statelessnf.store.client import Reply
from statelessnf.store.service_requests import Claim, Created, Creation, Expired, Expiry, NewFlow, PairChanged


def unexpected(reply: object) -> StoreReplyError:
    what = f"the store's library answered: {reply!r:.80}"
    return StoreReplyError(what, "", "is it another release's? FUNCTION DELETE statelessnf, it is loaded again")


def read_flag(reply: Reply) -> bool:
    if reply in (0, 1):
        return reply == 1
    raise unexpected(reply)


def read_value(reply: Reply) -> bytes | None:
    if reply is None or isinstance(reply, bytes):
        return reply
    raise unexpected(reply)


def read_claims(reply: Reply, token: bytes) -> list[Claim]:
    parts = [part for part in reply if isinstance(part, bytes)] if isinstance(reply, list) else []
    if parts != reply or len(parts) % 2:
        raise unexpected(reply)
    return [
        Claim((key, partner) if partner else (key,), token)
        for key, partner in zip(parts[::2], parts[1::2], strict=True)
    ]


def read_created(reply: Reply, flow: NewFlow) -> Created:
    match reply:
        case [1 | 2 as outcome]:
            return Created(Creation(outcome))
        case [0, *values] if len(values) == len(flow.keys):
            return Created(Creation.taken, tuple(read_value(value) for value in values))
    raise unexpected(reply)


def read_expired(reply: Reply) -> Expired:
    match reply:
        case [0 | 1 as outcome]:
            return Expired(Expiry(outcome))
        case [2 | 3 as outcome, value]:
            return Expired(Expiry(outcome), read_value(value))
    raise unexpected(reply)


def read_pair(reply: Reply) -> PairChanged:
    match reply:
        case [0 | 1 as changed, one, other]:
            return PairChanged(changed == 1, (read_value(one), read_value(other)))
    raise unexpected(reply)


def read_counters(reply: Reply) -> list[tuple[bytes, int]]:
    parts = reply if isinstance(reply, list) else [None]
    counters: list[tuple[bytes, int]] = []
    for name, number in zip(parts[::2], parts[1::2], strict=False):
        if not isinstance(name, bytes) or not isinstance(number, bytes) or not number.removeprefix(b"-").isdigit():
            raise unexpected(reply)
        counters.append((name, int(number)))
    return counters
