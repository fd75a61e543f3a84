"""What both kinds of steering ask of members before a switch hears of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from statelessnf.errors import SteeringError
from statelessnf.orchestrator.steering.steering import Member

MOST_SHARES = 1024  # sum of the weights


def checked(members: Sequence[Member]) -> tuple[Member, ...]:
    """The same. Raises SteeringError: a port that is there twice, a weight below 1, too many shares."""
    counts = Counter(port for member in members for port in (member.inside, member.outside))
    if twice := [name for name, count in counts.items() if count > 1]:
        raise SteeringError("this port is that of two members, or both ports of one", twice[0], "give each its own")
    if any(member.weight < 1 for member in members):
        raise SteeringError("a member's weight is at least 1", do="leave out members that are to get nothing")
    if sum(member.weight for member in members) > MOST_SHARES:
        raise SteeringError(f"the weights of all members are {MOST_SHARES} at most together", do="use smaller ones")
    return tuple(members)


class Places:
    """Ports at which instances may send, and whose state is watched: all that have been named."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.inside: dict[str, None] = {}
        self.outside: dict[str, None] = {}
        self.add(checked(members))

    def __iter__(self) -> Iterator[str]:
        return iter((*self.inside, *self.outside))

    def add(self, members: Sequence[Member]) -> bool:
        """Whether one of their ports is new."""
        before = len(self.inside) + len(self.outside)
        self.inside.update(dict.fromkeys(member.inside for member in members))
        self.outside.update(dict.fromkeys(member.outside for member in members))
        return len(self.inside) + len(self.outside) > before


def reachable(members: Iterable[Member], lost: Collection[str]) -> tuple[Member, ...]:
    """Those of which neither port is lost."""
    return tuple(member for member in members if member.inside not in lost and member.outside not in lost)
