"""The driver that a host's section asks for."""

from __future__ import annotations

from pathlib import Path

from statelessnf.errors import ConfigError
from statelessnf.orchestrator.drivers.driver import Driver
from statelessnf.orchestrator.drivers.process import ProcessDriver
from statelessnf.orchestrator.section import HostSection
from statelessnf.orchestrator.tokens import read_token


def make_driver(section: HostSection, deployment: str) -> Driver:
    """Not open yet; `deployment`: its name. Raises ConfigError."""
    if section.address.startswith(("https://", "http://")):
        return _remote(section, deployment)
    if section.driver == "docker":
        from statelessnf.orchestrator.drivers.docker import DockerDriver  # here, as few deployments need its imports

        return DockerDriver(section.image, section.address)
    if section.address:
        what = "a host for processes is this machine, or has an agent"
        raise ConfigError(what, f"host {section.name}: address", "write https://HOST:PORT of its snf agent")
    return ProcessDriver()


def _remote(section: HostSection, deployment: str) -> Driver:
    from statelessnf.orchestrator.drivers.remote import RemoteDriver  # likewise

    if section.token_file is None:
        raise ConfigError("this host's agent wants a token", f"host {section.name}", "add token_file")
    token, authority = read_token(Path(section.token_file)), section.authority_file
    image = section.image if section.driver == "docker" else ""
    return RemoteDriver(
        section.address, token, deployment, section.driver, image, None if authority is None else Path(authority)
    )
