"""What the section [orchestrator] of a deployment file will do, in words, and what in it is probably not meant."""

from __future__ import annotations

from collections.abc import Iterator

from statelessnf.orchestrator.section import HostSection, OrchestratorSection

SPREADS = {
    "flow": "flow by flow",
    "packet": "packet by packet",
    "direction": "by direction: the clients' packets to one instance, the servers' to another",
}


def explain(section: OrchestratorSection) -> Iterator[str]:
    """A sentence a line."""
    spares = f", and {section.spares} more that wait" if section.spares else ""
    yield f"snf up keeps {section.minimum} to {section.maximum} instances{spares}."
    scaling = section.scaling
    if scaling.enabled and section.minimum < section.maximum:
        less = f"one less when the rest would be below {scaling.low:.0%}"
        yield f"One more when they are busier than {scaling.high:.0%}, {less}."
    if scaling.enabled and scaling.most_pipes:
        yield f"Before there are more, each gets up to {scaling.most_pipes} pipes."
    detection = section.detection
    yield f"An instance that is silent for {detection.limit_ms} ms gets no traffic until it beats again."
    steering = section.steering
    sides = f"between {steering.clients} and {steering.servers}"
    yield f"Traffic {sides} is spread {SPREADS[steering.spread]} ({steering.kind})."
    for host in section.hosts:
        yield f"Host {host.name}: {len(host.slots)} instances at most, by {host.driver}{_place(host)}."


def _place(host: HostSection) -> str:
    return f" at {host.address}" if host.address else ""


def warnings(section: OrchestratorSection, store: str) -> list[str]:
    """`store`: kind of the instances' store."""
    found = []
    slots = sum(len(host.slots) for host in section.hosts)
    if slots < section.maximum + section.spares:
        found.append(f"the hosts have {slots} slots, fewer than maximum and spares together")
    if section.maximum == 1 and section.spares == 0:
        found.append("there is never a second instance: when it fails, traffic stops until it has started again")
    if store == "memory" and section.steering.spread != "flow":
        found.append("instances that keep their records to themselves need spread = 'flow'")
    if store == "embedded" and any(host.address for host in section.hosts):
        found.append("an embedded store is of one machine: instances on other hosts cannot reach it")
    return found
