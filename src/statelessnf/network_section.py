"""The section [network] of a deployment file: who is on the links of a function that rewrites packets.

Each side says which networks are its neighbours themselves, which router leads to all others, and which addresses of
its own the deployment has there. What cannot work is refused; docs/addresses.md explains the set-ups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from statelessnf.errors import ConfigError
from statelessnf.networks import Network, NetworkField, listed
from statelessnf.owned import Address, HostField
from statelessnf.section import Section

MAX_NETWORKS = 256
LAST_VLAN = 4094  # IEEE 802.1Q §9.6
LIKELY_PREFIX = {4: 24, 6: 64}


def _one_each(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    for version in (4, 6):
        found = [str(address) for address in addresses if address.version == version]
        if len(found) > 1:
            raise ValueError(f"{' and '.join(found)} are of one IP version; name one address of each version")
    return addresses


OneOfEach = Annotated[tuple[HostField, ...], BeforeValidator(listed), AfterValidator(_one_each)]
Networks = Annotated[tuple[NetworkField, ...], BeforeValidator(listed)]


class NetworkSide(Section):
    """The link of one side."""

    on_link: Networks | None = Field(default=None, max_length=MAX_NETWORKS, strict=False)  # inside: by default `inside`
    gateway: OneOfEach = Field(default=(), strict=False)
    address: OneOfEach = Field(default=(), strict=False)  # the deployment's own; also the source of its questions
    vlan: int = Field(default=0, ge=0, le=LAST_VLAN)  # 0: no tag


class NetworkSection(Section):
    """Both sides; `on_link_of` has their networks with the defaults filled in."""

    inside: NetworkSide = Field(default_factory=NetworkSide)
    outside: NetworkSide = Field(default_factory=NetworkSide)


def on_link_of(network: NetworkSection, inside: tuple[Network, ...]) -> dict[str, tuple[Network, ...]]:
    """By side: networks whose hosts are neighbours. `inside`: the deployment's networks, the default inside."""
    own = network.inside.on_link
    return {"inside": inside if own is None else own, "outside": network.outside.on_link or ()}


def check_network(network: NetworkSection, inside: tuple[Network, ...], owned: Sequence[Network]) -> None:
    """Raises ConfigError for the first thing that cannot work.

    `inside`: the deployment's networks. `owned`: what the function answers for outside.
    """
    links = on_link_of(network, inside)
    _check_overlap(links)
    own = {*network.inside.address, *network.outside.address}
    for side, section in (("inside", network.inside), ("outside", network.outside)):
        for key, address in _named(section):
            if not _reachable(address, links[side]):
                likely = ip_network(f"{address}/{LIKELY_PREFIX[address.version]}", strict=False)
                what = f"{address} is in no network that is on-link {side}"
                raise ConfigError(what, f"network.{side}.{key}", f"add its network to on_link, such as '{likely}'")
        for address in section.gateway:
            if address in own or any(address in one for one in owned):
                what = f"{address} is an address of the deployment itself"
                raise ConfigError(what, f"network.{side}.gateway", "name the router's address")


def _named(section: NetworkSide) -> Iterator[tuple[str, Address]]:
    for address in section.gateway:
        yield "gateway", address
    for address in section.address:
        yield "address", address


def _reachable(address: Address, networks: tuple[Network, ...]) -> bool:
    """RFC 4291 §2.5.6: link-local IPv6 addresses are on every link."""
    return (address.version == 6 and address.is_link_local) or any(address in network for network in networks)


def _check_overlap(links: dict[str, tuple[Network, ...]]) -> None:
    for one in links["outside"]:
        for other in links["inside"]:
            if one.version == other.version and one.overlaps(other):
                what = f"{one} outside and {other} inside overlap: a neighbour is on one side"
                do = "name what is on each link; network.inside.on_link is `inside` where it is not set"
                raise ConfigError(what, "network.outside.on_link", do)
