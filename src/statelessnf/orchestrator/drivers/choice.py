"""The driver that a host's section asks for."""

from __future__ import annotations

from statelessnf.orchestrator.drivers.driver import Driver
from statelessnf.orchestrator.drivers.process import ProcessDriver
from statelessnf.orchestrator.section import HostSection


def make_driver(section: HostSection) -> Driver:
    """Not open yet. Raises ConfigError."""
    return ProcessDriver()
