"""Our table in the nftables of a switch, and the interfaces that it names. Whatever is here may wait: for one thread.

A member whose interface is gone or down is left out until it is back: nftables would refuse the name, or its traffic
would be lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from statelessnf.errors import Refused, SteeringError
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.steering.interfaces import Interfaces, Link
from statelessnf.orchestrator.steering.libnftables import Nftables
from statelessnf.orchestrator.steering.members import Places, reachable
from statelessnf.orchestrator.steering.ownership import check_owner
from statelessnf.orchestrator.steering.rules import removal, ruleset, table_of
from statelessnf.orchestrator.steering.steering import Member, Ports
from statelessnf.orchestrator.steering.where import where_is


class Table:
    """`usable`, `lost` and `restored` may be read in any thread; they say what was found last."""

    def __init__(self, ports: Ports, name: str, owner: str, namespace: Namespace | None, places: Places) -> None:
        """Raises SteeringError; Refused: the table is another owner's (ownership.py)."""
        self._ports, self._name, self._where = ports, table_of(name), where_is(namespace)
        self._places, self._owner = places, owner
        self._wanted: tuple[Member, ...] | None = None  # None: nothing has been steered yet
        self._links: dict[str, Link] = {}  # those of our ports that are there
        self._taken = False  # somebody else's rules are there
        self._behind = False  # the rules are not those for these links
        self._listed: str | None = None  # the rules as nftables shows them, once looked at since they were put
        self.restored = 0  # how often others' changes of the rules were undone
        self.interfaces = Interfaces(namespace)
        try:
            self._nftables = Nftables(namespace)
            self._nftables.apply("list tables netdev")
            check_owner(self._nftables.listed(self._name), owner, self._where, self._name)
            self._read()
        except (SteeringError, Refused):
            self.interfaces.close()
            raise

    @property
    def usable(self) -> bool:
        """Whether the ports of both sides are there, and the rules are those for the links that there are."""
        return not self._missing() and not self._behind

    @property
    def lost(self) -> frozenset[str]:
        """Ports of `places` that are not there, or down, or whose other end is."""
        return frozenset(port for port in self._places if port not in self._links or not self._links[port].up)

    def put(self, members: tuple[Member, ...]) -> None:
        """These from now on. Raises SteeringError: then those before. Tried again where an interface has just gone."""
        if self._taken:
            self._check_ours(self._nftables.listed(self._name))
        if self._places.add(members):
            self._read()
        known = self._links
        try:
            self._apply(members)
        except SteeringError:
            self._read()
            if known == self._links:
                raise
            self._apply(members)
        self._wanted = members

    def refresh(self) -> None:
        """Interfaces or rules have changed: whoever is back gets traffic again, whoever is gone does not.

        Rules that somebody else has taken away or changed are put back.
        """
        known = self._links
        self._read()
        due, spoilt = self._behind or known != self._links, False
        if self._wanted is not None and (due or (spoilt := self._spoilt())):
            self._behind = True
            self.put(self._wanted)
            self.restored += spoilt

    def sent(self) -> dict[str, int]:
        """Packets that each of the members' ports was given, as long as it has been there."""
        sent = self.interfaces.sent()
        return {port: sent[port] for port in self._places if port in sent}

    def remove(self) -> None:
        """The table is gone, and does not come back by itself. Raises SteeringError if it is not ours any more."""
        self._check_ours(self._nftables.listed(self._name))
        self._nftables.apply(removal(self._name))
        self._wanted = None

    def close(self) -> None:
        """The table stays."""
        self._nftables.close()
        self.interfaces.close()

    def _spoilt(self) -> bool:
        """Whether the rules are others than those that were put; known from the first look after that."""
        listed = self._nftables.listed(self._name)
        self._check_ours(listed)
        if self._listed is None:
            self._listed = listed
        return not listed or listed != self._listed

    def _check_ours(self, listed: str) -> None:
        self._taken = True
        try:
            check_owner(listed, self._owner, self._where, self._name)
        except Refused as error:
            self._behind = True
            raise SteeringError(error.what, error.where, error.do) from None
        self._taken = False

    def _read(self) -> None:
        self._links = self.interfaces.read((self._ports.clients, self._ports.servers, *self._places))

    def _missing(self) -> Sequence[str]:
        return [port for port in (self._ports.clients, self._ports.servers) if port not in self._links]

    def _apply(self, members: tuple[Member, ...]) -> None:
        if missing := self._missing():
            raise SteeringError(f"the switch has no port {missing[0]!r}", self._where, "make it, or name another one")
        inside = [port for port in self._places.inside if port in self._links]
        outside = [port for port in self._places.outside if port in self._links]
        self._nftables.apply(
            ruleset(self._name, self._ports, reachable(members, self.lost), inside, outside, self._owner)
        )
        self._behind, self._listed = False, None
