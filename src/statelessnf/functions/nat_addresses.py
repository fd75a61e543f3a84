"""Addresses as the section [nat] writes them: `203.0.113.1`, `203.0.113.0/28`, `203.0.113.1-203.0.113.6`, or IPv6."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from statelessnf.networks import Network, listed, parse_network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Span:
    """Addresses of one IP version, `first` to `last`, both of them included."""

    first: Address
    last: Address

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    @property
    def version(self) -> int:
        return self.first.version

    @property
    def size(self) -> int:
        return int(self.last) - int(self.first) + 1

    def meets(self, other: Span) -> bool:
        """Some address belongs to both."""
        return (
            self.version == other.version and int(self.first) <= int(other.last) and int(other.first) <= int(self.last)
        )

    def networks(self) -> list[Network]:
        """The fewest networks that make it up."""
        return list(ipaddress.summarize_address_range(self.first, self.last))


def span_of(network: Network) -> Span:
    """All addresses of a network."""
    return Span(network.network_address, network.broadcast_address)


def mapped_address(address: Address) -> int:
    """128 bits; IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2)."""
    return int(address) | (0xFFFF << 32 if address.version == 4 else 0)


def parse_address(text: object) -> Address:
    """One address from its text. Raises ValueError with what to write instead."""
    if isinstance(text, Address):
        return text
    try:
        if isinstance(text, str):
            return ipaddress.ip_address(text)
    except ValueError:
        pass
    raise ValueError(f"{text!r} is no address; write one such as '203.0.113.1'")


def parse_span(text: object) -> Span:
    """Addresses from their text. Raises ValueError: no such thing, the wrong way round, not to be given to hosts."""
    if isinstance(text, Span):
        return text
    first, dash, last = text.partition("-") if isinstance(text, str) else ("", "", "")
    span = Span(parse_address(first.strip()), parse_address(last.strip())) if dash else span_of(parse_network(text))
    if span.first.version != span.last.version:
        raise ValueError(f"{text!r} is of two IP versions; write one range for each")
    if span.size < 1:
        raise ValueError(f"{text!r} is the wrong way round; write '{span.last}-{span.first}'")
    if reason := _unusable(span):
        raise ValueError(f"{text!r} is of no use outside: {reason}; name addresses that are routed to this NAT")
    return span


def endpoint_text(record: Any, end: str) -> str:
    """Address and port in the fields `<end>_high`, `<end>_low` and `<end>_port`: `10.0.0.1:80`, `[fd00::1]:80`."""
    address = ipaddress.IPv6Address(int(record[f"{end}_high"]) << 64 | int(record[f"{end}_low"]))
    text = str(address.ipv4_mapped) if address.ipv4_mapped else f"[{address}]"
    return f"{text}:{int(record[f'{end}_port'])}"


_SPECIAL = {  # RFC 6890, RFC 5771, RFC 4291
    "0.0.0.0/8": "it means this host",
    "127.0.0.0/8": "it is a loopback address",
    "169.254.0.0/16": "it is link-local",
    "224.0.0.0/4": "it is multicast",
    "240.0.0.0/4": "it is reserved",
    "::/127": "it is unspecified or loopback",
    "::ffff:0:0/96": "it is IPv4 in disguise",
    "fe80::/10": "it is link-local",
    "ff00::/8": "it is multicast",
}


def _unusable(span: Span) -> str:
    spans = ((span_of(ipaddress.ip_network(text)), reason) for text, reason in _SPECIAL.items())
    return next((reason for special, reason in spans if span.meets(special)), "")


SpanField = Annotated[
    Span,
    BeforeValidator(parse_span),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "format": "addresses"}),
]
AddressField = Annotated[Address, BeforeValidator(parse_address)]
Spans = Annotated[tuple[SpanField, ...], BeforeValidator(listed), Field(min_length=1)]
