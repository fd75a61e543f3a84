"""The rules of the `nftables` steering: chains at the ingress of the switch's ports that forward each frame as it is.

A frame is neither changed nor looked at twice: `fwd` puts it out at once. A new table takes the place of the old one in
one transaction: no frame meets a half-made one. Its chains come behind those of the old one: where they came first, a
frame found them empty, then the transaction ended, and it found the old ones empty, too, which lost it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from math import gcd
from typing import Literal

from statelessnf.errors import SteeringError
from statelessnf.orchestrator.steering.ownership import mark
from statelessnf.orchestrator.steering.steering import Member, Ports

_Side = Literal["inside", "outside"]
_SEED = "0x5eed"  # the same for both sides
_TOLD = ("ether type arp", "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }")


def table_of(name: str) -> str:
    """The table of the deployment of that name."""
    return f"netdev snf-{name}"


def removal(table: str) -> str:
    """Takes the table away, also one that is not there."""
    return f"add table {table}\ndelete table {table}"


def ruleset(
    table: str, ports: Ports, members: Sequence[Member], inside: Sequence[str], outside: Sequence[str], owner: str = ""
) -> str:
    """The whole table as nftables text. Every port named in it must be there, or nftables refuses all of it.

    `inside` and `outside` are the ports at which instances may send, whether they are given traffic or not. `flow`: by
    a hash of the client's address and its TCP, UDP or SCTP port, read where they stand in each direction, so that both
    choose the same member; IP packets without ports (ICMP, later fragments) by the client's address; others by turns.
    `owner`: see ownership.py. Raises SteeringError: a name that nftables cannot be told.
    """
    from_clients = _given(ports, members, "inside", "s", members[:1])
    from_servers = _given(ports, members, "outside", "d", members[-1:])
    to_clients, to_servers = ([f"fwd to {_quoted(port)}"] for port in (ports.clients, ports.servers))
    chains = [
        ("from_clients", [ports.clients], from_clients),
        ("from_servers", [ports.servers], from_servers),
        ("to_clients", inside, to_clients),
        ("to_servers", outside, to_servers),
    ]
    priority = next(_PRIORITIES)
    written = [_chain(name, devices, rules, priority) for name, devices, rules in chains if devices]
    return "\n".join([removal(table), f"table {table} {{", mark(owner), *written, "}"])


def _growing() -> Iterator[int]:
    """Each above the one before and, as they follow the time since boot (0.1 s), above those of a process before us."""
    last = 0
    while True:
        last = max(last + 1, int(time.clock_gettime(time.CLOCK_BOOTTIME) * 10))
        yield last


_PRIORITIES = _growing()


def _given(ports: Ports, members: Sequence[Member], side: _Side, client: str, one: Sequence[Member]) -> list[str]:
    """Rules for what comes in on a side; `client`: "s" or "d", where the client's address and port stand in it."""
    if not members:
        return ["drop"]
    copies = _copies([getattr(member, side) for member in members], ports.mac)
    return copies + _spread(ports, _places(one if ports.spread == "direction" else members, side), client)


def _places(members: Sequence[Member], side: _Side) -> list[str]:
    """Each member's port as often as its share says."""
    divisor = gcd(*(member.weight for member in members))
    return [getattr(member, side) for member in members for _ in range(member.weight // divisor)]


def _spread(ports: Ports, places: Sequence[str], client: str) -> list[str]:
    choices = ", ".join(f"{place}: {_quoted(link)}" for place, link in enumerate(places))
    chosen = f"mod {len(places)} seed {_SEED} map {{ {choices} }}"
    by_turns = f"fwd to numgen inc mod {len(places)} map {{ {choices} }}"
    if ports.spread != "flow" or len(places) == 1:
        return [by_turns]
    addresses = [f"{ip} {client}addr" for ip in ("ip", "ip6")]
    with_ports = [f"meta l4proto {{ tcp, udp, sctp }} fwd to jhash {at} . th {client}port {chosen}" for at in addresses]
    return [*with_ports, *(f"fwd to jhash {at} {chosen}" for at in addresses), by_turns]


def _copies(links: Sequence[str], mac: bytes | None) -> list[str]:
    """Rules that give each member its copy of what neighbours tell the deployment."""
    if mac is None:
        return []
    *others, last = map(_quoted, links)
    statements = " ".join([*(f"dup to {other}" for other in others), f"fwd to {last}"])
    return [f"ether daddr {mac.hex(':')} {match} {statements}" for match in _TOLD]


def _chain(name: str, devices: Sequence[str], rules: Sequence[str], priority: int) -> str:
    listed = ", ".join(map(_quoted, devices))
    hook = f"type filter hook ingress devices = {{ {listed} }} priority {priority};"
    return "\n".join([f"chain {name} {{", hook, *rules, "}"])


def _quoted(link: str) -> str:
    if not re.fullmatch(r'[^\s"*/:\\]{1,15}', link):
        raise SteeringError("this is no name of an interface that nftables can be told", repr(link), "rename it")
    return f'"{link}"'
