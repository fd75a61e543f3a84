"""The load balancer's tables, made from its section, from what health checks found, and from the counted loads.

Called again with other findings it gives tables of the same shape, so that instances swap them at any time. A backend
(a server in the pool of a service) is known by an id of 64 bits that depends on nothing but the service's name and the
server's address and port: the same in every instance, in every version of the tables, and whatever else there is. The
`servers` table is a hash table on it, so that a record's server is found in one or two steps; slots and loads
go by the place of the server in that table.
"""

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_network
from typing import Any, NamedTuple

import numpy as np

from statelessnf.functions.balancer_config import BalancerConfig, Server, Service
from statelessnf.functions.connection import timeout_rows
from statelessnf.functions.maglev import maglev_slots
from statelessnf.functions.rules import Rule, rule_rows
from statelessnf.functions.server_choice import AFFINITIES, POLICIES
from statelessnf.functions.timeouts import ROW
from statelessnf.networks import mapped_address
from statelessnf.packet import TCP, UDP

Array = np.ndarray[Any, Any]

ABSENT, UP, DRAINING, DOWN = range(4)  # servers.state

TABLE_TYPES = {
    "settings": np.dtype([("forward_others", "u1"), ("reject", "u1")]),
    "timeouts": ROW,
    "pools": np.dtype(  # by service
        [
            ("first", "<u4"),  # of its slots
            ("count", "<u2"),
            ("policy", "u1"),
            ("affinity", "u1"),
            ("direct", "u1"),
            ("reset", "u1"),  # connections of a server that is down are reset, not moved
        ]
    ),
    "slots": np.dtype([("server", "<u4")]),  # place in `servers`
    "servers": np.dtype(  # hash table: 2^n rows, at most half of them taken
        [
            ("id", "<u8"),  # 0: free
            ("high", "<u8"),
            ("low", "<u8"),
            ("port", "<u2"),  # 0: the one that the client asked for
            ("weight", "<u2"),
            ("state", "u1"),
        ]
    ),
    "loads": np.dtype([("connections", "<u4")]),  # by place in `servers`
}


class Backend(NamedTuple):
    """A server in the pool of a service; `identity` names its counter and its findings."""

    identity: int
    service: Service
    server: Server


def backend_id(service: Service, server: Server) -> int:
    """1 .. 2^64-1."""
    name = f"{service.name} {server.address} {server.port or 0}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8, person=b"snf-backend").digest(), "little") or 1


def backends(config: BalancerConfig) -> list[Backend]:
    """All backends, in the order of the deployment file."""
    pairs = [(service, server) for service in config.services for server in service.servers]
    return [Backend(backend_id(service, server), service, server) for service, server in pairs]


def balancer_tables(
    config: BalancerConfig, down: Collection[int] = (), loads: Mapping[int, int] | None = None
) -> dict[str, Array]:
    """Arrays for TABLE_TYPES. `down`: ids of backends whose check failed; `loads`: connections by id, others: 0."""
    known = backends(config)
    places = _places([backend.identity for backend in known])
    servers = np.zeros(_size(len(known)), TABLE_TYPES["servers"])
    for backend in known:
        servers[places[backend.identity]] = _server_row(backend, backend.identity in down)
    counted = np.zeros(len(servers), TABLE_TYPES["loads"])
    for identity, connections in (loads or {}).items():
        if identity in places:
            counted["connections"][places[identity]] = min(max(connections, 0), 0xFFFFFFFF)
    pools, slots = _pools(config, places, servers["state"])
    settings = [(config.other_traffic == "forward", config.refusal == "reject")]
    return {
        "settings": np.array(settings, TABLE_TYPES["settings"]),
        "timeouts": timeout_rows(config.timeouts),
        "pools": pools,
        "slots": slots,
        "servers": servers,
        "loads": counted,
    }


def _size(count: int) -> int:
    """Rows of the hash table: a power of two, at most half of them taken."""
    return 1 << max(count * 2 - 1, 1).bit_length()


def _places(identities: Sequence[int]) -> dict[int, int]:
    """Row of each id: from the one that its low bits name on, the first that is free."""
    size, places, taken = _size(len(identities)), dict[int, int](), set[int]()
    for identity in sorted(identities):
        place = identity % size
        while place in taken:
            place = (place + 1) % size
        places[identity] = place
        taken.add(place)
    return places


def _server_row(backend: Backend, down: bool) -> tuple[int, ...]:
    server = backend.server
    state = DOWN if down else DRAINING if server.drain else UP
    address = divmod(mapped_address(server.address), 1 << 64)
    return (backend.identity, *address, server.port or 0, server.weight, state)


def _pools(config: BalancerConfig, places: Mapping[int, int], states: Array) -> tuple[Array, Array]:
    pools, slots = np.zeros(len(config.services), TABLE_TYPES["pools"]), [np.zeros(0, np.int64)]
    for pool, service in zip(pools, config.services, strict=True):
        ready = {}
        for server in service.servers:
            if states[place := places[backend_id(service, server)]] == UP:
                ready[place] = server
        made = _slots(service, ready)
        pool["first"], pool["count"] = sum(map(len, slots)), len(made)
        pool["policy"], pool["affinity"] = POLICIES.index(service.policy), AFFINITIES.index(service.affinity)
        pool["direct"], pool["reset"] = service.mode == "direct", service.on_server_down == "reset"
        slots.append(made)
    joined = np.concatenate(slots)
    return pools, joined.astype(np.uint32).view(TABLE_TYPES["slots"])


def _slots(service: Service, ready: Mapping[int, Server]) -> Array:
    """Places of the servers that take new flows, each as often as the policy wants."""
    places = np.array(list(ready), np.int64)
    weights = [server.weight for server in ready.values()]
    if service.policy == "consistent_hash" and ready:
        names = tuple((str(server).encode(), server.weight) for server in ready.values())
        return places[_hashed(names, service.table_size)]
    if service.policy == "weighted" and ready:
        return np.repeat(places, np.array(weights) // math.gcd(*weights))
    return places


@lru_cache(maxsize=1024)
def _hashed(names: tuple[tuple[bytes, int], ...], size: int) -> Array:
    """`maglev_slots`, kept (32 KB for the default size): of all services only one changes when a server goes down."""
    return maglev_slots(dict(names), size).astype(np.uint16)


def _rule(service: Service) -> Rule:
    protocol = TCP if service.protocol == "tcp" else UDP
    address = (ip_network(service.address),)
    return Rule(action="allow", destination=address, protocol=protocol, destination_ports=service.ports)


def balancer_rules(config: BalancerConfig) -> Array:
    """Rows for the classifier: rule 0 is what comes from a virtual address; then the services; then all else to one.

    From a virtual address only servers may send, in flows: a packet from there to there would go round for ever.
    """
    virtual = tuple(ip_network(address) for address in {service.address: None for service in config.services})
    of_services = [_rule(service) for service in config.services]
    return rule_rows([Rule(action="deny", source=virtual), *of_services, Rule(action="deny", destination=virtual)])
