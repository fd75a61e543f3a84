"""What `snf check` says of a NAT: who becomes what, what it costs, and what no RFC would do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from statelessnf.functions.nat_sessions import LEAST_ICMP, LEAST_LASTING, LEAST_TRANSITORY, LEAST_UDP

_FILTERS = {
    "endpoint-independent": "anybody",
    "address": "the addresses it has spoken to",
    "address-and-port": "the addresses and ports it has spoken to",
}
_LEAST = {
    "tcp_established_s": (LEAST_LASTING, "RFC 5382 REQ-5"),
    "tcp_transitory_s": (LEAST_TRANSITORY, "RFC 5382 REQ-5"),
    "tcp_closing_s": (LEAST_TRANSITORY, "RFC 7857 §2.2"),
    "udp_s": (LEAST_UDP, "RFC 4787 REQ-5"),
    "icmp_s": (LEAST_ICMP, "RFC 5508 REQ-2"),
}


def explain(settings: Any) -> Iterator[str]:
    """A line for each side of the translation, one for each forward."""
    yield f"Sources in {', '.join(map(str, settings.subscribers))} are translated to addresses of the pool:"
    for pool in settings.pool:
        first, last = pool.ports
        yield f"  {', '.join(map(str, pool.addresses))}, ports {first}-{last}"
    yield from _ports(settings)
    yield f"A mapping lets in {_FILTERS[settings.filtering]}."
    for forward in settings.forwards:
        yield f"  {forward.text()} leads to {forward.inner} port {forward.first_inner}"
    if settings.outside_mtu:
        yield f"The MSS of a SYN is lowered to what fits a path of {settings.outside_mtu} bytes."
    if settings.ipfix:
        yield f"The log of mappings goes to {settings.ipfix} as IPFIX, too."


def _ports(settings: Any) -> Iterator[str]:
    if settings.ports == "preserve":
        yield "A source port stays as it is where it can; otherwise another one of its class and parity is taken."
    else:
        yield "Source ports become others of their class and parity that a hash tells."
    if settings.ports_per_subscriber:
        yield f"Each address has {settings.ports_per_subscriber} ports of its own and never gets more."


def warnings(settings: Any) -> list[str]:
    """Time-outs that break connections, subscribers who are not served."""
    found = []
    for name, (least, source) in _LEAST.items():
        if (value := getattr(settings.timeouts, name)) < least:
            found.append(f"nat.timeouts.{name} = {value}: {source} wants {least} at least; idle connections will break")
    for version in (4, 6):
        networks = [network for network in settings.subscribers if network.version == version]
        if settings.external_addresses(version) and not networks:
            found.append(f"nat.pool has IPv{version} addresses, but no subscriber is IPv{version}")
    return found
