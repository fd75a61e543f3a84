"""What `snf check` says of a load balancer: each service in words, and what is valid and probably not meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from statelessnf.functions.balancer_config import BalancerConfig, Service

_AFFINITY = {"none": "", "source": ", by the client's address"}
_LOST = {"reset": "are reset", "move": "move to another server"}


def explain(settings: BalancerConfig) -> Iterator[str]:
    """Two lines for each service, two for the rest."""
    for service in settings.services:
        yield f"Service {service.name}: {_address(service)} in mode {service.mode}, {service.policy}" + (
            f"{_AFFINITY[service.affinity]}, over {', '.join(_server(service, server) for server in service.servers)}."
        )
        yield f"  {_check(service)}; connections of a server that is down {_LOST[service.on_server_down]}."
    answer = "is dropped" if settings.refusal == "drop" else "is answered with RST or ICMP unreachable"
    yield f"What is for a virtual address and no server can get {answer}."
    yield f"Other traffic is {'forwarded as it is' if settings.other_traffic == 'forward' else 'dropped'}."


def warnings(settings: BalancerConfig) -> list[str]:
    """Services that cannot do what they seem to."""
    found = []
    for index, service in enumerate(settings.services):
        where = f"load_balancer.services[{index}]"
        if all(server.drain for server in service.servers):
            found.append(f"{where}: all servers drain, so nothing new gets in; remove drain from one")
        if service.check is None and "on_server_down" in service.model_fields_set:
            found.append(f"{where}: on_server_down without a check never happens; add [load_balancer.services.check]")
    return found


def _address(service: Service) -> str:
    ranges = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in service.ports)
    return f"{service.address} {service.protocol} port {ranges}"


def _server(service: Service, server: Any) -> str:
    weight = f" (weight {server.weight})" if any(other.weight > 1 for other in service.servers) else ""
    return f"{server}{weight}{' draining' if server.drain else ''}"


def _check(service: Service) -> str:
    check = service.check
    if check is None:
        return "No check, so that its servers always count as up"
    what = f"GET {check.path}" if check.kind == "http" else "connecting"
    return f"Checked every {check.interval_ms} ms by {what}, down after {check.fall} failures, up after {check.rise}"
