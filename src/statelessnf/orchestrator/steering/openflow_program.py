"""What an OpenFlow switch is to hold for a deployment: groups and flow entries, as values.

For each direction:

    entries, by the port of arrival        groups
    ───────────────────────────────        ──────
    ARP, neighbour discovery to our MAC ─► all       each member's port
    UDP, by bits of the client's port ───► select k  the members, beginning with the k-th      (spread `flow`)
    everything else ─────────────────────► select    the members by weight
                                              └────► fail-over  one a member: its port while that is up, else the next's
    from a member's port ────────────────► the port of the other side

The choice within a select group is the switch's; Open vSwitch takes a hash of addresses, protocol and TCP or SCTP
ports that is the same in both directions, and of addresses only for UDP (its OpenFlow 1.3 has no way to ask for more):
hence the entries for UDP. That both directions' groups list the members in the same order makes both choose the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Literal

from statelessnf.orchestrator.steering.members import Places
from statelessnf.orchestrator.steering.steering import Member, Ports

Kind = Literal["select", "all", "failover"]
Match = tuple[tuple[str, int | str | tuple[int, int]], ...]  # fields by their names in OpenFlow

SLICES = 16
_SHIFT = 1  # the lowest bit is left out: many choose even ports only, or pairs
_FALLBACKS = 3  # further members that stand in for one whose port is down
_SELECT, _ALL, _SLICES, _FAILOVER, _PER_SIDE = 0, 1, 2, 64, 2048
_ARP, _IP, _IPV6, _UDP, _ICMPV6 = 0x0806, 0x0800, 0x86DD, 17, 58
_SOLICIT, _ADVERT = 135, 136  # RFC 4861, 4.3 and 4.4
COOKIE_MASK, OWNER_MASK, GENERATION_MASK = 0xFFFF_FFFF_0000_0000, 0xFFFF_0000, 0xFFFF


@dataclass(frozen=True)
class Bucket:
    """Puts a packet out at a port, or hands it to a group. `watch`: only while that port is up; 0: always."""

    port: int = 0
    group: int = 0
    weight: int = 0
    watch: int = 0


@dataclass(frozen=True)
class Group:
    """A group entry."""

    kind: Kind
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True)
class Flow:
    """A flow entry: what it matches goes to a port or to a group."""

    priority: int
    match: Match
    to: Bucket


@dataclass(frozen=True)
class Identity:
    """What makes entries and groups those of one deployment: the upper half of the cookie, and a range of group ids.

    `owner`: of the orchestrator's store, see ownership.py; 16 bits of the cookie tell owners apart. "": nobody.
    """

    name: str
    owner: str = ""

    @cached_property
    def _digest(self) -> bytes:
        return sha256(self.name.encode()).digest()

    @property
    def cookie(self) -> int:
        """The lower 32 bits are free: 16 for the owner's mark, 16 for the generation of the entries."""
        return int.from_bytes(self._digest[:4], "big") << 32

    @cached_property
    def mark(self) -> int:
        """The owner's, where it stands in a cookie; 0 is nobody's."""
        return (int.from_bytes(sha256(self.owner.encode()).digest()[:2], "big") or 1) << 16 if self.owner else 0

    def next_cookie(self, there: Collection[int]) -> int:
        """Of entries that take the place of those with these cookies."""
        latest = max((cookie & GENERATION_MASK for cookie in there), default=0)
        return self.cookie | self.mark | (latest + 1) & GENERATION_MASK

    def foreign(self, cookie: int) -> bool:
        """Whether an entry of a deployment of this name is that of another owner."""
        return cookie & OWNER_MASK not in (0, self.mark)

    @property
    def groups(self) -> range:
        """4,096 ids; the highest range is left to the groups that OpenFlow reserves."""
        first = int.from_bytes(self._digest[4:8], "big") % 0xFFFFE * 4096 + 4096
        return range(first, first + 2 * _PER_SIDE)


@dataclass(frozen=True)
class Program:
    """All of it. Groups by id; those of kind `failover` are the ones that others point to."""

    groups: Mapping[int, Group] = field(default_factory=dict)
    flows: tuple[Flow, ...] = ()


@dataclass(frozen=True)
class _Side:
    """One direction: what comes in at `source` goes to the members' ports `targets`."""

    first: int  # group id
    source: int
    targets: Sequence[int]
    weights: Sequence[int]
    udp_port: str  # the field that has the client's


def program(
    identity: Identity, ports: Ports, priority: int, numbers: Mapping[str, int], members: Sequence[Member],
    places: Places,
) -> Program:  # fmt: skip
    """What the switch is to hold that these members get the traffic. `numbers`: of the ports, by name.

    `members` have all of their ports; of `places`, at whose ports instances may send, some may be missing.
    """
    groups: dict[int, Group] = {}
    flows: list[Flow] = []
    base, weights = identity.groups.start, [member.weight for member in members]
    inside, outside = ([numbers[getattr(member, side)] for member in members] for side in ("inside", "outside"))
    sides = (
        _Side(base, numbers[ports.clients], inside, weights, "udp_src"),
        _Side(base + _PER_SIDE, numbers[ports.servers], outside, weights, "udp_dst"),
    )
    for side, chosen in zip(sides, _chosen(ports, len(members)), strict=True):
        groups.update(_groups(side, chosen, ports))
        flows += _flows(side, ports, priority)
    flows += _returning(ports, priority, numbers, places)
    return Program(groups, tuple(flows))


def _chosen(ports: Ports, count: int) -> tuple[range, range]:
    """Which members get the packets of the two directions."""
    if ports.spread == "direction":
        return range(min(1, count)), range(max(0, count - 1), count)
    return range(count), range(count)


def _groups(side: _Side, chosen: range, ports: Ports) -> Iterator[tuple[int, Group]]:
    count = len(side.targets)
    for number in chosen:
        order = [side.targets[(number + step) % count] for step in range(min(count, 1 + _FALLBACKS))]
        yield side.first + _FAILOVER + number, Group("failover", tuple(Bucket(port, watch=port) for port in order))
    buckets = [Bucket(group=side.first + _FAILOVER + number, weight=side.weights[number]) for number in chosen]
    yield side.first + _SELECT, Group("select", tuple(buckets))
    if ports.spread == "flow":
        for place in range(SLICES):
            turn = place % max(1, len(buckets))
            yield side.first + _SLICES + place, Group("select", (*buckets[turn:], *buckets[:turn]))
    if ports.mac is not None:
        yield side.first + _ALL, Group("all", tuple(Bucket(port) for port in side.targets))


def _flows(side: _Side, ports: Ports, priority: int) -> Iterator[Flow]:
    here: Match = (("in_port", side.source),)
    yield Flow(priority, here, Bucket(group=side.first + _SELECT))
    if ports.spread == "flow":
        mask = (SLICES - 1) << _SHIFT
        for version in (_IP, _IPV6):
            udp: Match = (*here, ("eth_type", version), ("ip_proto", _UDP))
            for place in range(SLICES):
                to = Bucket(group=side.first + _SLICES + place)
                yield Flow(priority + 1, (*udp, (side.udp_port, (place << _SHIFT, mask))), to)
    if ports.mac is not None:
        ours: Match = (*here, ("eth_dst", ports.mac.hex(":")))
        to = Bucket(group=side.first + _ALL)
        yield Flow(priority + 1, (*ours, ("eth_type", _ARP)), to)
        for kind in (_SOLICIT, _ADVERT):
            message: Match = (("eth_type", _IPV6), ("ip_proto", _ICMPV6), ("icmpv6_type", kind))
            yield Flow(priority + 1, (*ours, *message), to)


def _returning(ports: Ports, priority: int, numbers: Mapping[str, int], places: Places) -> Iterator[Flow]:
    for names, out in ((places.inside, ports.clients), (places.outside, ports.servers)):
        for name in names:
            if name in numbers:
                yield Flow(priority, (("in_port", numbers[name]),), Bucket(numbers[out]))
