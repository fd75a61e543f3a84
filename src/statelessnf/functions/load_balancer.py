"""Load balancer (Algorithm 1 of the paper): a flow's first packet gets a server, and all its packets go there.

`process` is the paper's procedure. The choice is made once and stands in the record, address and all, so that flows
stay where they are while servers, tables and instances come and go. In mode `nat` the destination becomes the server,
and what the server answers is translated back. In mode `direct` the packet stays as it is: `packet.direct` says that
its frame goes to the neighbour `packet.destination`, who answers the client directly (or through here: that passes).
An ICMP error follows the flow that it quotes, towards whoever sent what it quotes, so that path MTU discovery works.

A server that drains, or is no longer in the tables, gets no new flows and keeps those it has. One that is down loses
them: a connection is reset or moved as its service says; a SYN or a datagram is simply given to another server.
The load of a backend: the flows whose `record.server` is its id while their `record.counted` is 1.
"""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any, ClassVar

import numpy as np

from statelessnf.function import Function, classify
from statelessnf.functions.balancer_config import BalancerConfig
from statelessnf.functions.balancer_tables import ABSENT, DOWN, DRAINING, TABLE_TYPES, balancer_rules, balancer_tables
from statelessnf.functions.connection import (
    CLIENT,
    CLOSED,
    DIRECT,
    NONE,
    SERVER,
    begin,
    end,
    follow,
    is_syn,
    timeout_rows,
)
from statelessnf.functions.flow_ends import (
    FROM_SERVER,
    FROM_VIRTUAL,
    TO_SERVER,
    TO_VIRTUAL,
    end_of,
    error_to_client,
    error_to_server,
    give_to,
    keep_virtual,
    to_client,
    to_server,
)
from statelessnf.functions.server_choice import NO_SERVER, next_server
from statelessnf.networks import Network
from statelessnf.packet import FORWARD, ICMP_ERROR, ORDINARY, TCP, drop_as, reject

NO_FLOW, NO_SERVICE, NO_SERVER_UP, SERVER_DOWN, ADDRESS_IN_USE, NOT_OF_FLOW, NOT_FOR_US = range(7)  # drop reasons
FROM_OURS, NOT_OURS = -1, -2  # of a virtual address, of none: see balancer_rules
MAX_ATTEMPTS = 16  # servers tried for a client's port that is in use with those before


def refuse(packet: Any, tables: Any, reason: int) -> int:
    if tables.settings[0].reject:
        reject(packet)
    return drop_as(reason)


def server_state(record: Any, tables: Any) -> int:
    """State of the flow's server; one that was taken out of the tables drains."""
    size = tables.servers.size
    for step in range(size):
        place = (record.server + step) & (size - 1)
        if tables.servers[place].id == record.server:
            return int(tables.servers[place].state)
        if tables.servers[place].state == ABSENT:
            break
    return DRAINING


def service_of(packet: Any, tables: Any) -> int:
    """Index of a service; behind the last one: to a virtual address; or FROM_OURS, or NOT_OURS."""
    return classify(tables.services, packet) - 1


def schedule(packet: Any, record: Any, tables: Any, service: int) -> int:
    """Algorithm 1, lines 4 to 9: the next server of the service goes into the record, and the packet to it."""
    if packet.attempt >= MAX_ATTEMPTS:
        return drop_as(ADDRESS_IN_USE)
    server = next_server(packet, tables, service)
    if server == NO_SERVER:
        return refuse(packet, tables, NO_SERVER_UP)
    if record.state == NONE:
        record.flags = DIRECT if tables.pools[service].direct else 0
        keep_virtual(packet, record)
    if record.state == NONE or is_syn(packet):
        begin(packet, record)
    give_to(record, tables, server)
    to_server(packet, record)
    return FORWARD


def open_flow(packet: Any, record: Any, tables: Any) -> int:
    service = service_of(packet, tables)
    if service == FROM_OURS:
        return drop_as(NO_FLOW)
    if service == NOT_OURS:
        return FORWARD if tables.settings[0].forward_others else drop_as(NOT_FOR_US)
    if service == tables.pools.size:
        return refuse(packet, tables, NO_SERVICE)
    may_open = is_syn(packet) or (packet.protocol != TCP and packet.kind == ORDINARY)
    if not may_open:
        return refuse(packet, tables, NO_FLOW)
    return schedule(packet, record, tables, service)


def lose_server(packet: Any, record: Any, tables: Any) -> int:
    """The flow's server is down, or gets no new flows and this is one."""
    service = service_of(packet, tables)
    if not 0 <= service < tables.pools.size:
        return refuse(packet, tables, NO_SERVICE)
    if packet.kind != ORDINARY:  # a later fragment changes no record
        return drop_as(SERVER_DOWN)
    if packet.protocol == TCP and not is_syn(packet) and tables.pools[service].reset:
        if record.state != CLOSED:
            end(packet, record)
        reject(packet)
        return drop_as(SERVER_DOWN)
    return schedule(packet, record, tables, service)


def from_client(packet: Any, record: Any, tables: Any) -> int:
    state, again = server_state(record, tables), is_syn(packet) and record.state == CLOSED
    if state == DOWN or (again and state == DRAINING):
        return lose_server(packet, record, tables)
    if again:
        begin(packet, record)
    follow(packet, record, CLIENT)
    to_server(packet, record)
    return FORWARD


def from_server(packet: Any, record: Any) -> int:
    follow(packet, record, SERVER)
    if not record.flags & DIRECT:
        to_client(packet, record)
    return FORWARD


def relay_error(packet: Any, record: Any, quoted: int) -> int:
    """An ICMP error about a packet of the flow; `quoted`: which end of that packet is one of the flow's own."""
    if quoted == FROM_VIRTUAL:
        error_to_server(packet, record)
    elif quoted == TO_SERVER:
        error_to_client(packet, record)
    return FORWARD


class LoadBalancer(Function):
    """See the top of this file."""

    name = "load_balancer"
    record = np.dtype(
        [
            ("state", "u1"),  # connection.OPENING ...
            ("flags", "u1"),  # connection.DIRECT ...
            ("counted", "u1"),  # 1: is part of the server's load
            ("server", "<u8"),  # id of the backend (balancer_tables.backend_id)
            ("server_high", "<u8"),
            ("server_low", "<u8"),
            ("virtual_high", "<u8"),
            ("virtual_low", "<u8"),
            ("server_port", "<u2"),
            ("virtual_port", "<u2"),
            ("changed", "<u4"),  # ms modulo 2^32: when the flow began, or ended
        ]
    )
    keyed = ("server", "server_high", "server_low", "server_port", "virtual_high", "virtual_low", "virtual_port")
    drop_reasons = (
        "no_flow",
        "no_service",
        "no_server",
        "server_down",
        "address_in_use",
        "not_of_flow",
        "not_for_us",
    )
    table_types: ClassVar = TABLE_TYPES
    Config = BalancerConfig
    rewrites = True
    counter = ("counted", "server")

    @staticmethod
    def tables(config: Any) -> Mapping[str, np.ndarray[Any, Any]]:
        return balancer_tables(config, config.down, config.loads)

    @staticmethod
    def owned(config: Any) -> list[Network]:
        """Virtual addresses, for which every instance answers."""
        return [ip_network(address) for address in sorted({service.address for service in config.services}, key=int)]

    @staticmethod
    def shortest_life(config: Any) -> int | None:
        return int(timeout_rows(config.timeouts)["milliseconds"][1:].min())

    @staticmethod
    def timed(config: Any) -> bool:
        return True

    @staticmethod
    def rules(config: Any) -> np.ndarray[Any, Any]:
        """Rows for the classifier behind `tables.services`."""
        return balancer_rules(config)

    @staticmethod
    def process(packet: Any, record: Any, tables: Any) -> int:
        if record.state == NONE:
            return open_flow(packet, record, tables)
        which = end_of(packet, record)
        if packet.kind == ICMP_ERROR:
            return relay_error(packet, record, which)
        if which == TO_VIRTUAL:
            return from_client(packet, record, tables)
        if which == FROM_SERVER or (which == FROM_VIRTUAL and record.flags & DIRECT):
            return from_server(packet, record)
        return drop_as(NOT_OF_FLOW)  # the flow's ports, but neither of its ways: past the virtual address, or forged

    @staticmethod
    def lifetime(record: Any, tables: Any) -> int:
        return int(tables.timeouts[record.state].milliseconds + 0)
