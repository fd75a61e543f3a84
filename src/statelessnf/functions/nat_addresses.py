"""Addresses as the section [nat] writes them: those of hosts (statelessnf/owned.py) that are routed to the NAT."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from statelessnf.networks import listed
from statelessnf.owned import AddressRange, RangeField, range_of

_LINK_LOCAL = [range_of(ipaddress.ip_network(text)) for text in ("169.254.0.0/16", "fe80::/10")]


def _routed(value: AddressRange) -> AddressRange:
    if any(value.overlaps(local) for local in _LINK_LOCAL):
        raise ValueError(f"{value} is of no use outside: it is link-local; name addresses that are routed to this NAT")
    return value


External = Annotated[
    tuple[Annotated[RangeField, AfterValidator(_routed)], ...], BeforeValidator(listed), Field(min_length=1)
]


def endpoint_text(record: Any, end: str) -> str:
    """Address and port in the fields `<end>_high`, `<end>_low` and `<end>_port`: `10.0.0.1:80`, `[fd00::1]:80`."""
    address = ipaddress.IPv6Address(int(record[f"{end}_high"]) << 64 | int(record[f"{end}_low"]))
    text = str(address.ipv4_mapped) if address.ipv4_mapped else f"[{address}]"
    return f"{text}:{int(record[f'{end}_port'])}"
