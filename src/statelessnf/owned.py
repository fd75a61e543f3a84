"""Addresses that a deployment owns (a NAT's pool, virtual addresses), and the MAC address under which it answers.

Lists of addresses, ranges and networks become ranges that are in order, apart and as few as possible; what overlaps is
refused, since nobody writes an address twice on purpose. The engine takes the ranges as `rows` (engine/addresses.hpp)
and answers for them in ARP and neighbour discovery (engine/neighbours.hpp).
"""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from statelessnf.networks import Network, listed, mapped_address, parse_network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_EXAMPLES = "'203.0.113.7', '203.0.113.0/28' or '203.0.113.10-203.0.113.20'"


def deployment_mac(name: str) -> bytes:
    """The MAC address of the deployment `name`, 6 bytes: all of its instances have it, and know it without asking.

    44 bits of a hash of the name, in the quarter of locally administered addresses that IEEE 802c leaves to
    administrators (second digit 2). Among 1000 deployments on one link two have the same with a chance of 3e-8.
    """
    digest = hashlib.sha256(b"statelessnf deployment " + name.encode()).digest()
    return bytes((digest[0] & 0xF0 | 0x02, *digest[1:6]))


@dataclass(frozen=True)
class AddressRange:
    """Addresses of one IP version from `first` to `last`, both included."""

    first: Address
    last: Address

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.first.version

    @property
    def size(self) -> int:
        """How many addresses."""
        return int(self.last) - int(self.first) + 1

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def networks(self) -> list[Network]:
        """The fewest networks that make it up."""
        return list(ipaddress.summarize_address_range(self.first, self.last))

    def overlaps(self, other: AddressRange) -> bool:
        """Whether any address belongs to both."""
        same = self.version == other.version
        return same and int(self.first) <= int(other.last) and int(other.first) <= int(self.last)


def range_of(network: Network) -> AddressRange:
    """All addresses of a network: each of them may serve where no host has them."""
    return AddressRange(network.network_address, network.broadcast_address)


def parse_range(value: object) -> AddressRange:
    """A range from the text of an address, a network or two addresses. Raises ValueError with what to write instead."""
    if isinstance(value, AddressRange):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no address; write one in quotes, such as {_EXAMPLES}")
    found = range_of(parse_network(value)) if "/" in value else _between(value)
    for kind, networks in _NO_HOSTS.items():
        for network in networks:
            if found.overlaps(range_of(network)):
                raise ValueError(f"{value!r} has {kind} addresses ({network}), which no host can own; leave them out")
    return found


def parse_host(value: object) -> Address:
    """A single address that a host may have. Raises ValueError as `parse_range`."""
    if isinstance(value, Address):
        return value
    found = parse_range(value)
    if found.size > 1:
        raise ValueError(f"{value!r} is {found.size} addresses; write a single one")
    return found.first


def _between(text: str) -> AddressRange:
    first, dash, last = text.partition("-")
    ends = (_address(first.strip(), text), _address((last if dash else first).strip(), text))
    if ends[0].version != ends[1].version:
        raise ValueError(f"{text!r} begins with one IP version and ends with the other; write two ranges")
    if int(ends[0]) > int(ends[1]):
        raise ValueError(f"{text!r} is the wrong way round; write '{ends[1]}-{ends[0]}'")
    return AddressRange(*ends)


def _address(part: str, text: str) -> Address:
    try:
        address = ipaddress.ip_address(part)
    except ValueError as error:
        raise ValueError(f"{text!r} is no address, network or range; write one such as {_EXAMPLES}") from error
    if address.version == 6 and address.scope_id is not None:
        raise ValueError(f"{text!r} names an interface; write the address alone")
    return address


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


# RFC 1122 §3.2.1.3, RFC 4291 §2.5 and §2.7. Mapped addresses stand for IPv4 in the engine, and may not be on a wire.
_NO_HOSTS = {
    "unspecified": _networks("0.0.0.0/8", "::/128"),
    "loopback": _networks("127.0.0.0/8", "::1/128"),
    "multicast": _networks("224.0.0.0/4", "ff00::/8"),
    "reserved": _networks("240.0.0.0/4"),
    "IPv4-mapped": _networks("::ffff:0:0/96"),
}


def merged(ranges: Iterable[AddressRange]) -> tuple[AddressRange, ...]:
    """The ranges in order, IPv4 first, those that touch joined.

    Raises ValueError if there is none, or for the first two that overlap.
    """
    ordered = sorted(ranges, key=lambda item: (item.version, int(item.first), int(item.last)))
    for one, following in itertools.pairwise(ordered):
        if one.overlaps(following):
            raise ValueError(f"{one} and {following} overlap; remove one of them, or what both have from one")
    if not ordered:
        raise ValueError(f"no address is named; name at least one, such as {_EXAMPLES}")
    result = ordered[:1]
    for one in ordered[1:]:
        if _touch(result[-1], one):
            result[-1] = AddressRange(result[-1].first, one.last)
        else:
            result.append(one)
    return tuple(result)


def _touch(before: AddressRange, one: AddressRange) -> bool:
    return before.version == one.version and int(before.last) + 1 == int(one.first)


def first_overlap(
    ranges: Sequence[AddressRange], others: Sequence[AddressRange]
) -> tuple[AddressRange, AddressRange] | None:
    """The first of `ranges` that has an address of one of `others`, and that one."""
    return next(((one, other) for one in ranges for other in others if one.overlaps(other)), None)


def rows(ranges: Iterable[AddressRange]) -> list[tuple[int, int, int, int]]:
    """For the engine: high and low half of the first and the last address, IPv4 as ::ffff:a.b.c.d."""
    halves = ((divmod(mapped_address(one.first), 1 << 64), divmod(mapped_address(one.last), 1 << 64)) for one in ranges)
    return [(*first, *last) for first, last in halves]


HostField = Annotated[Address, BeforeValidator(parse_host)]
RangeField = Annotated[
    AddressRange,
    BeforeValidator(parse_range),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "format": "addresses"}),
]
OwnedAddresses = Annotated[tuple[RangeField, ...], BeforeValidator(listed), AfterValidator(merged)]
"""A field of a section: one address, network or range, or a list of them; its value is `merged`."""
