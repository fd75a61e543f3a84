"""What cannot work in a section [nat], each with what to do instead. Every function raises ValueError ("what; do").

`config` is a NatConfig (not imported: it imports this file), `inside` the networks behind the inside port.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from statelessnf.networks import Network
from statelessnf.owned import AddressRange, range_of

MAX_ADDRESSES = 1 << 20
LONGEST_NUMBERED = 96  # bits of 128: subscribers of a longer prefix are counted, those of others hashed


def check_pool(config: Any, inside: Sequence[Network]) -> None:
    """The pool: not empty, no address twice, none that is inside."""
    spans: list[tuple[str, AddressRange]] = [
        (f"pool[{i}].addresses", span) for i, pool in enumerate(config.pool) for span in pool.addresses
    ]
    if not spans:
        raise ValueError("pool is empty; name the external addresses, such as [{ addresses = '203.0.113.1' }]")
    for where, span in spans:
        _check_span(where, span, inside)
    for (where, span), (other_where, other) in combinations(spans, 2):
        if span.overlaps(other):
            raise ValueError(f"{other_where}: {other} and {span} of {where} overlap; name each address once")
    if sum(span.size for _, span in spans) > MAX_ADDRESSES:
        raise ValueError(f"pool has more than {MAX_ADDRESSES:,} addresses; use a part of them")


def _check_span(where: str, span: AddressRange, inside: Sequence[Network]) -> None:
    if span.version == 6 and int(span.first) >> 64 != int(span.last) >> 64:
        raise ValueError(f"{where}: {span} is more than a /64; use a part of it")
    for network in inside:
        if span.overlaps(range_of(network)):
            raise ValueError(f"{where}: {span} is inside ({network}); the pool has to be routed from outside")


def check_subscribers(config: Any, inside: Sequence[Network]) -> None:
    """Subscribers: somebody, nobody twice, all of them inside and with a pool of their IP version."""
    if not config.subscribers:
        raise ValueError("subscribers is empty; name networks, or leave it out: everybody inside")
    for network in config.subscribers:
        if not any(network.version == other.version and network.subnet_of(other) for other in inside):
            raise ValueError(f"subscribers: {network} is not inside; inside is {_listing(inside)}")
    for network, other in combinations(config.subscribers, 2):
        if network.version == other.version and network.overlaps(other):
            raise ValueError(f"subscribers: {network} and {other} overlap; remove the smaller one")
    if not any(config.external_addresses(network.version) for network in config.subscribers):
        raise ValueError("pool and subscribers have no IP version in common; addresses are not translated between them")


def check_forwards(config: Any) -> None:
    """Forwards: outside in the pool and each port once, inside among the subscribers."""
    for i, forward in enumerate(config.forwards):
        external, inner = AddressRange(forward.external, forward.external), AddressRange(forward.inner, forward.inner)
        if not any(span.overlaps(external) for span, _ in config.spans(external.version)):
            raise ValueError(f"forwards[{i}]: {forward.external} is not in the pool; add it there")
        if not any(inner.overlaps(range_of(network)) for network in config.subscribers):
            listing = _listing(config.subscribers)
            raise ValueError(f"forwards[{i}]: {forward.inner} is no subscriber; forwards lead to {listing}")
    for (i, one), (j, other) in combinations(enumerate(config.forwards), 2):
        same = one.protocol == other.protocol and one.external == other.external
        if same and one.ports[0] <= other.ports[1] and other.ports[0] <= one.ports[1]:
            raise ValueError(f"forwards[{j}]: {other.text()} is forwarded by forwards[{i}] already; remove one of them")


def check_blocks(config: Any) -> None:
    """With a quota each subscriber has ports of its own: there have to be enough of them."""
    for version in (4, 6) if config.ports_per_subscriber else ():
        spans, networks = config.spans(version), [n for n in config.subscribers if n.version == version]
        if not spans or not networks:
            continue
        if version == 6 and any(network.prefixlen < LONGEST_NUMBERED for network in networks):
            raise ValueError(f"ports_per_subscriber needs subscribers of /{LONGEST_NUMBERED} or longer; name them")
        blocks = min((last - first + 1) // config.ports_per_subscriber for _, (first, last) in spans)
        room, needed = blocks * config.external_addresses(version), sum(n.num_addresses for n in networks)
        if room < needed:
            text = f"ports_per_subscriber = {config.ports_per_subscriber}: the pool has room for {room:,} subscribers"
            raise ValueError(f"{text} of {needed:,} (IPv{version}); name fewer subscribers, or add addresses")


def _listing(networks: Iterable[Network]) -> str:
    return ", ".join(map(str, networks))
