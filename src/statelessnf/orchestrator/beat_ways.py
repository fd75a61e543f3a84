"""Whether beats can find their way from each slot to one of the orchestrator's addresses, as far as the file can tell.

A loopback is that of one machine, and of one network namespace in it: what a slot elsewhere sends to 127.0.0.1 stays
there, and its instance is never heard.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from statelessnf.errors import ConfigError
from statelessnf.orchestrator.endpoint import endpoint

if TYPE_CHECKING:
    from statelessnf.orchestrator.section import HostSection, OrchestratorSection


def check_beats(section: OrchestratorSection, where: str) -> None:
    """Raises ConfigError where all addresses are a loopback's and a slot has another one."""
    if not all(_loopback(endpoint(target)[0]) for target in section.beats):
        return
    for host in section.hosts:
        if elsewhere := _elsewhere(host):
            what = f"heartbeats from {elsewhere} (host {host.name}) cannot reach {', '.join(section.beats)}"
            do = "name an address of this machine that it has a way to, such as that of a management network"
            raise ConfigError(what, where, do)


def _elsewhere(host: HostSection) -> str:
    """What instances run in that has a loopback of its own; "": nothing."""
    if host.driver == "docker":
        return "containers"
    name = urlsplit(host.address).hostname or ""
    if name and name != "localhost" and not _loopback(name):
        return "another machine"
    return next((f"namespace {slot.namespace}" for slot in host.slots if slot.namespace is not None), "")


def _loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
