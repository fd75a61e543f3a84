"""The engine's option `neighbours`, made from a deployment: what an instance answers for, and whom it asks.

Only an instance on ports has neighbours. In a replay and in a benchmark nobody would answer, so packets leave there
with the MAC addresses with which they came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from statelessnf.config import Deployment
from statelessnf.network_section import on_link_of
from statelessnf.owned import Address, AddressRange, deployment_mac, range_of, rows


def neighbour_options(deployment: Deployment) -> dict[str, Any] | None:
    """Value of `neighbours` (statelessnf/_engine.pyi); None for a function that leaves packets as they are."""
    if not deployment.function_class.rewrites:
        return None
    network = deployment.network
    links = on_link_of(network, deployment.inside)
    owned = {"inside": rows(_hosts(network.inside.address)), "outside": owned_outside(deployment, deployment.settings)}
    options: dict[str, Any] = {"mac": deployment_mac(deployment.name)}
    for side, section in (("inside", network.inside), ("outside", network.outside)):
        options[side] = {
            "owned": owned[side],
            "on_link": rows(range_of(one) for one in links[side]),
            "gateways": rows(_hosts(section.gateway)),
            "vlan": section.vlan,
        }
    return options


def owned_outside(deployment: Deployment, settings: BaseModel) -> list[tuple[int, int, int, int]]:
    """What is answered for outside while the function has these settings (of its section): `rows`."""
    owned = deployment.function_class.owned(settings)
    return rows([*_hosts(deployment.network.outside.address), *map(range_of, owned)])


def _hosts(addresses: Sequence[Address]) -> list[AddressRange]:
    return [AddressRange(address, address) for address in addresses]


def explain_neighbours(deployment: Deployment) -> list[str]:
    """What `snf check` says of the links; nothing for a function that leaves packets as they are."""
    if not deployment.function_class.rewrites:
        return []
    lines = [f"Every instance has the MAC address {deployment_mac(deployment.name).hex(':')}."]
    network = deployment.network
    answered: dict[str, list[object]] = {
        "inside": [*network.inside.address],
        "outside": [*network.outside.address, *deployment.owned],
    }
    for side, addresses in answered.items():
        if addresses:
            lines.append(f"ARP and neighbour discovery {side} are answered for {', '.join(map(str, addresses))}.")
    return lines


def neighbour_warnings(deployment: Deployment) -> list[str]:
    """An address inside promises hosts a way out that there is not."""
    network = deployment.network
    versions = {address.version for address in network.inside.address}
    lacking = sorted(versions - {address.version for address in network.outside.gateway})
    return [
        f"network.inside.address: packets sent to it have no IPv{version} gateway outside; set network.outside.gateway"
        for version in lacking
    ]
