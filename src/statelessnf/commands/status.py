"""`snf status`: the deployment, its instances, hosts and switch, once or again each second."""

from __future__ import annotations

import time
from contextlib import suppress

from pydantic import BaseModel
from rich.console import Group, RenderableType
from rich.live import Live

from statelessnf.api.client import Client, connected
from statelessnf.api.documents import HostsDocument, InstancesDocument
from statelessnf.commands.output import HEALTH_STYLES, console, line, seconds, show, table
from statelessnf.orchestrator.face import DeploymentDocument, HostDocument, InstanceDocument, SteeringDocument

PERIOD = 1.0  # seconds between two looks of --watch


class Overview(BaseModel):
    """All that is shown, as `--json` prints it."""

    deployment: DeploymentDocument
    instances: list[InstanceDocument]
    hosts: list[HostDocument]
    steering: SteeringDocument


def status(deployment: str, *, as_json: bool, watch: bool) -> None:
    """Runs the command; with `watch` until Ctrl-C. Raises SnfError (see Client)."""
    with connected(deployment) as client:
        if not watch:
            _print(overview(client), as_json)
            return
        with suppress(KeyboardInterrupt):
            if as_json or not console().is_terminal:
                _repeat(client, as_json)
            else:
                _watch(client)


def overview(client: Client) -> Overview:
    """What is now. Raises SnfError."""
    return Overview(
        deployment=client.get("/deployment", DeploymentDocument),
        instances=client.get("/instances", InstancesDocument).instances,
        hosts=client.get("/hosts", HostsDocument).hosts,
        steering=client.get("/steering", SteeringDocument),
    )


def _print(found: Overview, as_json: bool) -> None:
    if as_json:
        print(found.model_dump_json(), flush=True)
    else:
        show(shown(found))


def _repeat(client: Client, as_json: bool) -> None:
    while True:
        _print(overview(client), as_json)
        time.sleep(PERIOD)


def _watch(client: Client) -> None:
    with Live(console=console(), auto_refresh=False) as live:
        while True:
            live.update(shown(overview(client)), refresh=True)
            time.sleep(PERIOD)


def shown(found: Overview) -> RenderableType:
    """For people."""
    parts: list[RenderableType] = [line(_headline(found.deployment), "bold"), line(_switch(found.steering))]
    parts += [line(f"problem: {problem}", "red") for problem in _problems(found)]
    parts += [line(f"note: {host.note}") for host in found.hosts if host.note]
    instances = sorted(found.instances, key=lambda one: (one.host, one.slot, one.name))
    parts += [line(""), _instances(instances), line(""), _hosts(found.hosts)]
    return Group(*parts)


def _headline(deployment: DeploymentDocument) -> str:
    size = f"{deployment.size} instance{'s' * (deployment.size != 1)} ({deployment.minimum} to {deployment.maximum}"
    size += f", {deployment.spares} spare)" if deployment.spares else ")"
    size += f" of {deployment.pipes} pipes" if deployment.pipes > 1 else ""
    by = "by load" if deployment.scaling else "by order"
    state = "settled" if deployment.settled else "at work"
    role = "" if deployment.leader else ", this orchestrator is a standby"
    return f"{deployment.name}: {deployment.function}, revision {deployment.revision}, {size} {by}, {state}{role}"


def _switch(steering: SteeringDocument) -> str:
    state = "connected" if steering.connected else "not connected"
    given = ", ".join(steering.members) or "nobody"
    return f"switch: {steering.kind}, {state}, spread by {steering.spread}, traffic to {given}"


def _problems(found: Overview) -> list[str]:
    told = {found.steering.problem, *(host.problem for host in found.hosts)}
    said = [problem for problem in (found.deployment.problem,) if problem not in told]
    said += [found.steering.problem] if found.steering.problem else []
    return said + [host.told(host.problem) for host in found.hosts if host.problem]


def _instances(instances: list[InstanceDocument]) -> RenderableType:
    load = ("busy", "packets/s", "latency")
    columns = ("instance", "host", "health", "for", "traffic", *load, "pipes", "faults", "revision")
    styles = [HEALTH_STYLES.get(one.health, "") for one in instances]
    return table(columns, [_row(one) for one in instances], styles)


def _row(one: InstanceDocument) -> tuple[object, ...]:
    traffic = "drained" if one.drained else "yes" if one.steered else "no"
    load = (f"{one.load.utilisation:.0%}", f"{one.load.packets:,.0f}", f"{one.load.latency_us:.0f} µs")
    where = f"{one.host}/{one.slot}"
    life = (one.health, seconds(one.health_seconds))
    return (one.name, where, *life, traffic, *load, one.pipes, one.faults, one.revision)


def _hosts(hosts: list[HostDocument]) -> RenderableType:
    rows = [
        (
            host.name, host.driver, "reachable" if host.reachable else "not reachable", f"{host.used} of {host.slots}",
            len(host.cores), f"{host.memory_mb:,} MB",
        )
        for host in hosts
    ]  # fmt: skip
    return table(("host", "driver", "", "used", "cores", "memory"), rows)
