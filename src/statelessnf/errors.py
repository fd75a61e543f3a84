"""Every error that a user of StatelessNF can meet, in one tree.

    SnfError
      ConfigError            deployment file: unreadable, unknown key, wrong type, impossible value
      StoreError             the store, seen from the control plane
        StoreUnavailable     cannot be reached, or went away
        StoreRefused         reached, but it says no: password, permission, unsuitable settings, other schema version
        StoreReplyError      answered with something that no Valkey server of the right version says
      CaptureError           pcap or pcapng file: unreadable, truncated, unsupported, cannot be written
      InstanceError          one instance
        StartFailed          it did not come up: port missing, permission, memory
        InstanceLost         it was up and is gone
      OrchestratorError      the orchestrator
        DriverError          a host cannot start, watch or end an instance
        SteeringError        the switch refuses, or cannot be reached
        NotLeader            another orchestrator leads this deployment
        NotFound             no such instance, host, record or deployment
        Refused              a request that cannot be carried out as things are
        Unauthorized         the token is missing or wrong
        NotRunning           no orchestrator runs for this deployment, or it went away
      LabError               network namespaces, links and servers of the lab
      BuildError             a network function cannot be compiled
      FunctionError          a network function is not what the engine can run

A message says what happened, where, and what to do about it, in one line: the command prints it as it is (exit code 1;
3 for NotRunning).
"""

from __future__ import annotations


class SnfError(Exception):
    """What a user can do something about; `what`, `where` and `do` make the one line that is printed.

    `where` is a file, a key path, an address or the like; `do` is what to try next. Either may be empty.
    """

    exit_code = 1  # of the command that ends by it

    def __init__(self, what: str, where: str = "", do: str = "") -> None:
        self.what, self.where, self.do = what, where, do
        super().__init__(self.line())

    def line(self) -> str:
        """One line without line breaks: `where: what; do`."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        text = f"{text}; {self.do}" if self.do else text
        return " ".join(text.split())


class ConfigError(SnfError):
    """A deployment file that cannot be used."""


class StoreError(SnfError):
    """The store, seen from the control plane."""


class StoreUnavailable(StoreError):  # noqa: N818 - the name states the fact
    """Cannot be reached, or went away."""


class StoreRefused(StoreError):  # noqa: N818 - the name states the fact
    """Reached, but it says no: password, permission, unsuitable settings, other schema version."""


class StoreReplyError(StoreError):
    """Answered with something that no suitable server says."""


class CaptureError(SnfError):
    """A capture file: unreadable, truncated, of an unsupported kind, or not writable."""


class InstanceError(SnfError):
    """One instance of a network function."""


class StartFailed(InstanceError):  # noqa: N818 - the name states the fact
    """It did not come up."""


class InstanceLost(InstanceError):  # noqa: N818 - the name states the fact
    """It was up and is gone."""


class OrchestratorError(SnfError):
    """The orchestrator."""


class DriverError(OrchestratorError):
    """A host cannot start, watch or end an instance."""


class SteeringError(OrchestratorError):
    """The switch refuses, or cannot be reached."""


class NotLeader(OrchestratorError):  # noqa: N818 - the name states the fact
    """Another orchestrator leads this deployment."""


class NotFound(OrchestratorError):  # noqa: N818 - the name states the fact
    """No such instance, host, record or deployment."""


class Refused(OrchestratorError):  # noqa: N818 - the name states the fact
    """A request that cannot be carried out as things are."""


class Unauthorized(OrchestratorError):  # noqa: N818 - the name states the fact
    """The token is missing or wrong."""


class NotRunning(OrchestratorError):  # noqa: N818 - the name states the fact
    """No orchestrator runs for this deployment, or it went away."""

    exit_code = 3


class LabError(SnfError):
    """Namespaces, links and servers of the lab."""


class BuildError(SnfError):
    """A network function cannot be compiled."""


class FunctionError(SnfError):
    """A network function is not what the engine can run."""
