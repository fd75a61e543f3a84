"""The steering that a deployment file asks for."""

from __future__ import annotations

from collections.abc import Sequence

from statelessnf.config import Deployment
from statelessnf.orchestrator.section import HostSection, SteeringSection
from statelessnf.orchestrator.steering.nftables import NftablesSteering
from statelessnf.orchestrator.steering.openflow import OpenflowSteering
from statelessnf.orchestrator.steering.steering import Member, Ports, Steering
from statelessnf.owned import deployment_mac


def make_steering(section: SteeringSection, deployment: Deployment, hosts: Sequence[HostSection]) -> Steering:
    """Not open yet. Raises SteeringError for what the kind cannot do."""
    ports = Ports(section.clients, section.servers, section.spread, _mac(deployment))
    places = [Member(slot.switch_inside, slot.switch_outside) for host in hosts for slot in host.slots]
    if section.kind == "nftables":
        return NftablesSteering(ports, deployment.name, section.namespace, places)
    return OpenflowSteering(
        ports,
        deployment.name,
        section.listen,
        datapath=section.datapath,
        table=section.table,
        priority=section.priority,
        places=places,
    )


def _mac(deployment: Deployment) -> bytes | None:
    """The deployment's own, where its function answers for addresses."""
    return deployment_mac(deployment.name) if deployment.function_class.rewrites else None
