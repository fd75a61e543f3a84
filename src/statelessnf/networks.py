"""Networks as deployment files name them and as the engine compares them."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import BeforeValidator

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_network(text: object) -> Network:
    """A network from its text. Raises ValueError with what to write instead."""
    if isinstance(text, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return text
    if not isinstance(text, str):
        raise ValueError('should be a network in quotes, such as "10.0.0.0/8"')
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        if "host bits" in str(error):
            wider = ipaddress.ip_network(text, strict=False)
            raise ValueError(f"{text!r} has bits set behind its prefix; write {str(wider)!r}") from error
        raise ValueError(f"{text!r} is no network; write one such as '10.0.0.0/8' or 'fd00::/8'") from error


def listed(value: object) -> tuple[object, ...]:
    """A single item stands for a list of one."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


NetworkField = Annotated[Network, BeforeValidator(parse_network)]


def mapped_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    """Address as 128 bits, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2)."""
    return int(address) | 0xFFFF << 32 if address.version == 4 else int(address)


def mapped(network: Network) -> tuple[int, int]:
    """`mapped_address` of the network, and prefix length of 128."""
    return mapped_address(network.network_address), network.prefixlen + (96 if network.version == 4 else 0)
