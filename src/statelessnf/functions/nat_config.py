"""The section [nat] of a deployment file: what it may say. What cannot work is refused (nat_checks.py).

The deployment's `inside` networks come with the validation context (config.py): they are the subscribers unless the
section names them, and the pool has to lie outside of them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from statelessnf.functions.nat_addresses import External
from statelessnf.functions.nat_checks import check_blocks, check_forwards, check_pool, check_subscribers
from statelessnf.functions.nat_collector import Collector
from statelessnf.functions.nat_sessions import NatTimeouts
from statelessnf.functions.rules import PortRange, Range
from statelessnf.networks import NetworkField
from statelessnf.owned import AddressRange, HostField
from statelessnf.packet import TCP, UDP

MAX_POOLS, MAX_FORWARDS, MAX_SUBSCRIBERS = 256, 1024, 256
LEAST_MTU = 576  # RFC 791 §3.1
PROTOCOLS = {"tcp": TCP, "udp": UDP}


class Section(BaseModel):
    """Immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Pool(Section):
    """External addresses, and the ports of each that may be given away."""

    addresses: External
    ports: PortRange = (1, 65535)

    @model_validator(mode="after")
    def _no_port_zero(self) -> Pool:
        if self.ports[0] == 0:
            raise ValueError("ports begin with 0, which is no port; begin with 1")
        return self


class Forward(Section):
    """An external address and its ports, behind which an inner host answers."""

    protocol: Literal["tcp", "udp"]
    external: HostField
    ports: PortRange
    inner: HostField
    inner_port: int | None = Field(default=None, ge=1, le=65535)  # that of the first; by default the same

    @model_validator(mode="after")
    def _consistent(self) -> Forward:
        if self.external.version != self.inner.version:
            raise ValueError(f"{self.external} and {self.inner} are not of one IP version; IPv4 and IPv6 do not mix")
        if self.ports[0] == 0:
            raise ValueError("ports begin with 0, which is no port; begin with 1")
        if self.first_inner + self.ports[1] - self.ports[0] > 65535:
            raise ValueError(f"the inner ports of {self.text()} end beyond 65535; choose a lower inner_port")
        return self

    @property
    def first_inner(self) -> int:
        """Inner port behind the first external one."""
        return self.ports[0] if self.inner_port is None else self.inner_port

    def text(self) -> str:
        """The external side, as messages name it."""
        first, last = self.ports
        return f"{self.protocol} {self.external} port {first if first == last else f'{first}-{last}'}"


class NatConfig(Section):
    """Section [nat] of the deployment file."""

    pool: tuple[Pool, ...] = Field(max_length=MAX_POOLS, strict=False)
    subscribers: tuple[NetworkField, ...] = Field(max_length=MAX_SUBSCRIBERS, strict=False)
    ports: Literal["preserve", "random"] = "preserve"
    filtering: Literal["endpoint-independent", "address", "address-and-port"] = "address-and-port"
    ports_per_subscriber: int | None = Field(default=None, ge=1, le=65535)
    outside_mtu: int | None = Field(default=None, ge=LEAST_MTU, le=65535)  # SYNs: an MSS that fits
    log: bool = False  # an event for each mapping
    ipfix: Collector | None = None  # where the log goes besides, as IPFIX: udp://ADDRESS[:PORT]
    forwards: tuple[Forward, ...] = Field(default=(), max_length=MAX_FORWARDS, strict=False)
    timeouts: NatTimeouts = Field(default_factory=NatTimeouts)

    @model_validator(mode="before")
    @classmethod
    def _everybody_inside(cls, data: Any, info: ValidationInfo) -> Any:
        if info.context and isinstance(data, dict):
            return {"subscribers": info.context["inside"], **data}
        return data

    @model_validator(mode="after")
    def _works(self, info: ValidationInfo) -> NatConfig:
        inside = info.context["inside"] if info.context else self.subscribers
        check_pool(self, inside)
        if self.ipfix and not self.log:
            raise ValueError("ipfix names a collector, but there is no log to send; set log = true")
        check_subscribers(self, inside)
        check_forwards(self)
        check_blocks(self)
        return self

    def spans(self, version: int) -> list[tuple[AddressRange, Range]]:
        """External addresses of one IP version with their ports, in order."""
        return [(span, pool.ports) for pool in self.pool for span in pool.addresses if span.version == version]

    def external_addresses(self, version: int) -> int:
        """How many external addresses of one IP version there are."""
        return sum(span.size for span, _ in self.spans(version))
