"""What the section [load_balancer] may say: services, their servers, policies. What cannot work is refused here."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import chain, combinations
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from statelessnf.functions.connection import FlowTimeouts
from statelessnf.functions.health_check import HealthCheck, Port
from statelessnf.functions.maglev import is_prime
from statelessnf.functions.rules import Ports
from statelessnf.owned import HostField

MAX_SERVICES = 4096
MAX_SLOTS = 65_535  # of a service
SLOTS_PER_SERVER = 100  # keeps Maglev's shares within one percent (NSDI 2016, §5.3)


class Section(BaseModel):
    """A table of the section: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _weight(value: object) -> object:
    if value == 0 and not isinstance(value, bool):
        raise ValueError("weight 0 gives a server nothing; set drain = true to take it out gently")
    return value


class Server(Section):
    """One server of a pool."""

    address: HostField
    port: Port | None = None  # by default the one that the client asked for
    weight: Annotated[int, BeforeValidator(_weight), Field(ge=1, le=256)] = 1
    drain: bool = False  # gets no new flows, keeps those it has

    def __str__(self) -> str:
        if self.port is None:
            return str(self.address)
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


class Service(Section):
    """A virtual address, protocol and ports, and the pool of servers behind them."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    address: HostField
    protocol: Literal["tcp", "udp"] = "tcp"
    ports: Ports
    mode: Literal["nat", "direct"] = "nat"
    policy: Literal["round_robin", "weighted", "consistent_hash", "least_connections"] = "round_robin"
    affinity: Literal["none", "source"] = "none"
    on_server_down: Literal["reset", "move"] = "reset"  # connections; datagrams and opening SYNs always move
    table_size: int = 16_381  # slots of consistent_hash, a prime; Cilium's default
    check: HealthCheck | None = None
    servers: tuple[Server, ...] = Field(strict=False)

    @model_validator(mode="after")
    def _consistent(self) -> "Service":
        problem = next(chain(self._port_problems(), self._pool_problems(), self._policy_problems()), None)
        if problem is not None:
            raise ValueError(problem)
        return self

    def _port_problems(self) -> Iterator[str]:
        if not self.ports or any(first == 0 for first, _ in self.ports):
            yield "ports: there is none, or port 0; name those that clients connect to"
        several = len(self.ports) > 1 or any(first < last for first, last in self.ports)
        open_port = several and any(server.port is None for server in self.servers)
        if self.check is not None and self.check.port is None and open_port:
            yield "check: it needs a port, as the service has several; set the one to be checked"

    def _pool_problems(self) -> Iterator[str]:
        if not self.servers:
            yield "servers: the pool is empty; add at least one server"
        for one, other in combinations(self.servers, 2):
            same_port = one.port == other.port or None in (one.port, other.port)
            if one.address == other.address and same_port:
                yield f"servers: {one} is listed twice; list it once, and give it a weight"
        for server in self.servers:
            if server.address.version != self.address.version:
                yield f"servers: {server.address} and {self.address} are not of one IP version; use one for both"
            if self.mode == "direct" and server.port is not None:
                yield f"servers: {server} has a port, but mode 'direct' leaves packets as they are; remove the port"

    def _policy_problems(self) -> Iterator[str]:
        weights = [server.weight for server in self.servers]
        if self.policy == "round_robin" and max(weights) > 1:
            yield "policy 'round_robin' knows no weights; use 'weighted', or remove them"
        if self.policy == "least_connections" and self.affinity != "none":
            yield "policy 'least_connections' cannot keep a client on one server; use 'consistent_hash' with affinity"
        if sum(weights) > MAX_SLOTS:
            yield f"servers: the weights add up to more than {MAX_SLOTS}; lower them"
        if not is_prime(self.table_size) or not 2 < self.table_size <= MAX_SLOTS:
            yield f"table_size {self.table_size} is no prime up to {MAX_SLOTS}; use 4093, 16381 or 65521"
        if self.policy == "consistent_hash" and self.table_size < SLOTS_PER_SERVER * len(weights):
            least = SLOTS_PER_SERVER * len(weights)
            yield f"table_size {self.table_size} is too small for {len(weights)} servers; use a prime from {least} on"


def _shared_port(one: Service, other: Service) -> int | None:
    """The lowest port that both services claim at one address and protocol."""
    if (one.address, one.protocol) != (other.address, other.protocol):
        return None
    pairs = ((max(a[0], b[0]), min(a[1], b[1])) for a in one.ports for b in other.ports)
    return min((first for first, last in pairs if first <= last), default=None)


class BalancerConfig(Section):
    """Section [load_balancer] of the deployment file."""

    services: tuple[Service, ...] = Field(max_length=MAX_SERVICES, strict=False)
    other_traffic: Literal["forward", "drop"] = "forward"  # neither to or from a virtual address nor of a flow
    refusal: Literal["drop", "reject"] = "drop"  # or answer with RST or ICMP unreachable what no server can get
    timeouts: FlowTimeouts = Field(default_factory=FlowTimeouts)
    _down: Collection[int] = PrivateAttr(default=())
    _loads: Mapping[int, int] = PrivateAttr(default_factory=dict)

    def informed(self, down: Collection[int] = (), loads: Mapping[int, int] | None = None) -> "BalancerConfig":
        """With what is known of the servers besides: ids of backends whose check failed, connections by id."""
        copy = self.model_copy()
        copy._down, copy._loads = down, loads or {}
        return copy

    @property
    def down(self) -> Collection[int]:
        """Ids of backends whose check failed."""
        return self._down

    @property
    def loads(self) -> Mapping[int, int]:
        """Connections by id of backend, others: 0."""
        return self._loads

    @model_validator(mode="after")
    def _distinct(self) -> "BalancerConfig":
        if not self.services:
            raise ValueError("services: there is none; add a [[load_balancer.services]]")
        for name, times in Counter(service.name for service in self.services).items():
            if times > 1:
                raise ValueError(f"services: {times} are named {name!r}; give each its own name")
        for one, other in combinations(self.services, 2):
            if (port := _shared_port(one, other)) is not None:
                where = f"{one.address} {one.protocol} port {port}"
                raise ValueError(f"services: {one.name!r} and {other.name!r} both have {where}; give it to one")
        self._check_roles()
        return self

    def _check_roles(self) -> None:
        virtual = {service.address: service.name for service in self.services}
        for service in self.services:
            for server in service.servers:
                if server.address in virtual:
                    text = f"services: {server.address} is a server of {service.name!r} and the virtual address of"
                    raise ValueError(f"{text} {virtual[server.address]!r}; packets would go round and round")
