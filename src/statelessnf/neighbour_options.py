"""The engine's option `neighbours`, made from a deployment: what an instance answers for, and whom it asks.

Only an instance on ports has neighbours. In a replay and in a benchmark nobody would answer, so packets leave there
with the MAC addresses with which they came.
"""

from __future__ import annotations

from typing import Any

from statelessnf.config import Deployment
from statelessnf.network_section import on_link_of
from statelessnf.owned import AddressRange, deployment_mac, range_of, rows


def neighbour_options(deployment: Deployment) -> dict[str, Any] | None:
    """Value of `neighbours` (statelessnf/_engine.pyi); None for a function that leaves packets as they are."""
    if not deployment.function_class.rewrites:
        return None
    network = deployment.network
    links = on_link_of(network, deployment.inside)
    options: dict[str, Any] = {"mac": deployment_mac(deployment.name)}
    for side, section in (("inside", network.inside), ("outside", network.outside)):
        owned = [AddressRange(address, address) for address in section.address]
        if side == "outside":
            owned += [range_of(network) for network in deployment.owned]
        options[side] = {
            "owned": rows(owned),
            "on_link": rows(range_of(one) for one in links[side]),
            "gateways": rows(AddressRange(address, address) for address in section.gateway),
            "vlan": section.vlan,
        }
    return options


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
