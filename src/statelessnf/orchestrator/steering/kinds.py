"""The steering that a deployment's section [orchestrator.steering] names."""

from __future__ import annotations

from collections.abc import Sequence

from statelessnf.orchestrator.section import SteeringSection
from statelessnf.orchestrator.steering.nftables import NftablesSteering
from statelessnf.orchestrator.steering.steering import Member, Ports, Steering


def steering_of(
    section: SteeringSection, name: str, mac: bytes | None, places: Sequence[Member], owner: str
) -> Steering:
    """For the deployment of that name; `places`: the switch's ports of all slots of all hosts; `owner`: the
    address of the orchestrator's store.

    Raises SteeringError: a kind that cannot spread as is wanted.
    """
    ports = Ports(section.clients, section.servers, section.spread, mac)
    if section.kind == "nftables":
        return NftablesSteering(ports, name, section.namespace, places, owner)
    from statelessnf.orchestrator.steering.openflow import OpenflowSteering

    return OpenflowSteering(
        ports,
        name,
        section.listen,
        datapath=section.datapath,
        table=section.table,
        priority=section.priority,
        namespace=section.namespace,
        places=places,
        owner=owner,
    )
