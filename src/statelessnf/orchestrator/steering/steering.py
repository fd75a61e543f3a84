"""The contract of steering: which instances get the traffic of the two sides, changed in one step.

    clients ---- [ switch ] ---- inside  instance  outside ---- [ switch ] ---- servers

What comes in on the port of the clients goes to the `switch_inside` port of one member, what an instance sends there
goes out to the clients; the same outside. ARP and neighbour discovery addressed to the deployment's own MAC reach all
members, since an answer must reach the instance that asked (engine/neighbours.hpp).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Spread = Literal["packet", "flow", "direction"]


@dataclass(frozen=True)
class Ports:
    """Names of the switch's ports towards clients and servers, and how packets are spread over the members.

    `flow`: by a hash of the 5-tuple, the same for both directions where the switch can; `packet`: each packet by
    itself; `direction`: all of the clients' packets to the first member, all of the servers' to the last.
    """

    clients: str
    servers: str
    spread: Spread = "flow"
    mac: bytes | None = None  # 6 bytes: the deployment's, where it answers for addresses


@dataclass(frozen=True)
class Member:
    """An instance that gets traffic: its two ports of the switch and its share."""

    inside: str
    outside: str
    weight: int = 1


Changed = Callable[[], None]


class Steering(Protocol):
    """One switch. Every method raises SteeringError: what failed, where, what to do."""

    async def open(self, changed: Changed) -> None:
        """Begins; `changed` is called, within the event loop, whenever one of the properties became another.

        Raises Refused if somebody else steers the switch for a deployment of this name, or if this user may not.
        """

    @property
    def connected(self) -> bool:
        """Whether the switch can be told something now."""

    @property
    def lost(self) -> frozenset[str]:
        """Ports of members of which the switch itself says that they are down or gone."""

    @property
    def restored(self) -> int:
        """How often the switch was given again what it had forgotten, or what somebody else had changed."""

    async def steer(self, members: Sequence[Member]) -> None:
        """From now on these get the traffic; returns when the switch has confirmed it. No member: all is dropped.

        All at once, or, if an error is raised, not at all: then the members before still get it. After a switch has
        restarted or was unreachable, it is given the latest members again by itself.
        """

    async def traffic(self) -> dict[str, int]:
        """Packets that each port of a member was given, since it was made; by the port's name."""

    async def close(self) -> None:
        """Lets go; the switch goes on as it was told last."""

    async def clear(self) -> None:
        """Takes away all that was put into the switch, and nothing else."""
