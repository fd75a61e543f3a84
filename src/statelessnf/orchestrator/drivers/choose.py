"""Which driver a host of the section [orchestrator] has."""

from __future__ import annotations

from pathlib import Path

from statelessnf.errors import ConfigError
from statelessnf.orchestrator.drivers.driver import Driver
from statelessnf.orchestrator.drivers.process import ProcessDriver
from statelessnf.orchestrator.section import HostSection
from statelessnf.orchestrator.tokens import read_token

AGENT = ("https://", "http://")


def driver_of(host: HostSection, deployment: str) -> Driver:
    """Not open yet; `deployment`: its name. Raises ConfigError."""
    if host.address.startswith(AGENT):
        return _remote(host, deployment)
    if host.driver == "docker":
        from statelessnf.orchestrator.drivers.docker import DockerDriver  # here, as few deployments need its imports

        return DockerDriver(host.image, host.address)
    if host.address:
        what = "a host for processes is this machine, or has an agent"
        raise ConfigError(what, f"host {host.name}: address {host.address}", "write https://HOST:PORT of its snf agent")
    return ProcessDriver()


def _remote(host: HostSection, deployment: str) -> Driver:
    from statelessnf.orchestrator.drivers.remote import RemoteDriver  # likewise

    if host.token_file is None:
        raise ConfigError("this host's agent wants a token", f"host {host.name}", "add token_file")
    image = host.image if host.driver == "docker" else ""
    authority = None if host.authority_file is None else Path(host.authority_file)
    return RemoteDriver(host.address, read_token(Path(host.token_file)), deployment, host.driver, image, authority)
