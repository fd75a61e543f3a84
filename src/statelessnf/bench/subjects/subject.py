"""The contract of a subject: two or more firewalls between clients and a web server, in namespaces of a lab.

A program that measures makes one (registry.py), starts a web server in `server`, waits until it is ready, and
lets clients in `clients` use it while it makes instances fail, moves traffic or changes the steering. Everything that a
subject starts is on the stack that it was made with. Instances count from 0.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address
from typing import Protocol, runtime_checkable

from statelessnf.namespaces import Namespace


class Failure(StrEnum):
    """What can happen to an instance."""

    kill = "kill"  # SIGKILL to an instance; a Linux firewall loses its power
    stop = "stop"  # SIGSTOP: it is there, and does nothing
    cut = "cut"  # its heartbeats do not arrive any more; packets still would
    move = "move"  # none: an operator drains it


class Way(StrEnum):
    """How packets are led."""

    symmetric = "symmetric"  # both directions of a flow through the same instance
    asymmetric = "asymmetric"  # all that clients send through one instance, all that the server sends through another
    spray = "spray"  # each packet through the next instance


class Subject(Protocol):
    """One of them, started. Methods raise LabError where something that they need has ended or refuses."""

    name: str
    failures: frozenset[Failure]  # what `fail` can do
    ways: frozenset[Way]  # what `steer` can do
    clients: Namespace
    client_address: str
    server: Namespace
    server_address: IPv4Address

    def wait_ready(self) -> None:
        """Until the web server, which runs by now, can be reached through each instance, steered symmetrically."""

    def traffic(self) -> list[int]:
        """Packets that each instance has been given so far, both directions."""

    def carrying(self) -> int:
        """How many instances the traffic is spread over now."""

    def fail(self, failure: Failure, victim: int) -> None:
        """Returns once it has happened; the subject copes with it by itself."""

    def steer(self, way: Way) -> None:
        """From when it returns on."""

    def check(self) -> None:
        """Raises LabError if something has ended that nobody has ended."""


@runtime_checkable
class Elastic(Subject, Protocol):
    """A subject that decides itself how many of its instances carry the traffic."""

    def suspicions(self) -> int:
        """How often an instance that worked was believed dead so far, rightly or not."""

    def scale(self, capacity: float) -> None:
        """From now on: begins with one instance; each is to get at most `capacity` packets a second."""
