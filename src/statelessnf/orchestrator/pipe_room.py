"""Whether the places of a deployment have room for instances with more pipes, and the ports' queues for each number.

A pipe has a queue of its own in each port. A port of the kernel is told how many there are, which a slot leaves open as
`{pipes}`; devices of their own (PCI) are configured when they are opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from statelessnf.errors import ConfigError

if TYPE_CHECKING:
    from statelessnf.orchestrator.section import HostSection, OrchestratorSection

PIPES = "{pipes}"  # in the ports of a slot: the number of the instance's pipes
QUEUES = {"net_af_xdp": "queue_count", "net_af_packet": "qpairs"}  # by kind of port: the argument that says how many


def queued(port: str, pipes: int) -> str:
    """The port of a slot as an instance with so many pipes opens it."""
    return port.replace(PIPES, str(pipes))


def check_pipes(section: OrchestratorSection, least: int, where: str) -> None:
    """`least`: pipes that each instance has anyway. Raises ConfigError where there cannot be `most_pipes`, and why."""
    most = section.scaling.most_pipes
    if most == 0:
        return
    if most < least:
        raise ConfigError(
            f"{most} is less than instance.pipes ({least})", where, "correct one of them, or leave it out"
        )
    for host in section.hosts:
        _check_cores(host, most, where)
        if most > least:
            _check_queues(host, where)
    slots, needed = sum(len(host.slots) for host in section.hosts), section.minimum + section.spares + 1
    if most > least and slots < needed:
        what = f"the hosts have {slots} slots, and a new instance runs beside the one that it replaces"
        raise ConfigError(what, where, f"let them have {needed}: one more than minimum and spares")


def _check_cores(host: HostSection, most: int, where: str) -> None:
    if 0 < host.cores_per_instance < most:
        what = f"an instance on host {host.name} has {host.cores_per_instance} cores, fewer than {most} pipes"
        raise ConfigError(what, where, f"use {host.cores_per_instance} or fewer, or raise that cores_per_instance")


def _check_queues(host: HostSection, where: str) -> None:
    for port, argument in _fixed(host):
        what = f"port {port!r} of host {host.name} has the same queues for any number of pipes"
        raise ConfigError(what, where, f"add {argument}={PIPES} to it")


def _fixed(host: HostSection) -> Iterator[tuple[str, str]]:
    for port in (port for slot in host.slots for port in (slot.inside, slot.outside)):
        for kind, argument in QUEUES.items():
            if port.startswith(kind) and f"{argument}={PIPES}" not in port:
                yield port, argument
