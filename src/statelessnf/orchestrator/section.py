"""The section [orchestrator] of a deployment file: how many instances, where, and behind which switch.

    [orchestrator]
    minimum = 2
    maximum = 4

    [orchestrator.steering]
    kind = "nftables"
    clients = "clients"
    servers = "servers"

    [[orchestrator.hosts]]
    name = "here"
    slots = [{ inside = "net_af_xdp0,iface=in0", outside = "net_af_xdp1,iface=out0", switch_inside = "s-in0", … }]

An instance itself needs none of it: `snf run` leaves the section unread.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from statelessnf.config import Deployment
from statelessnf.config_errors import validated
from statelessnf.errors import ConfigError
from statelessnf.networks import listed
from statelessnf.orchestrator.beat_ways import check_beats
from statelessnf.orchestrator.drivers.driver import Slot
from statelessnf.orchestrator.endpoint import endpoint
from statelessnf.orchestrator.pipe_room import check_pipes
from statelessnf.section import Section


def _endpoint(text: str) -> str:
    """ADDRESS:PORT or [ADDRESS]:PORT. Port 0: any that is free."""
    endpoint(text)
    return text


Endpoint = Annotated[str, AfterValidator(_endpoint)]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]
Slots = Annotated[tuple[Slot, ...], BeforeValidator(listed)]


class DetectionSection(Section):
    """How soon an instance is suspected: `limit_ms` without a beat of one of its pipes."""

    beat_ms: int = Field(default=5, ge=1, le=1000)
    limit_ms: int = Field(default=15, ge=2, le=60_000)

    @model_validator(mode="after")
    def _possible(self) -> DetectionSection:
        if self.limit_ms < 2 * self.beat_ms:
            raise ValueError(f"limit_ms: {self.limit_ms} ms are less than two beats; use {2 * self.beat_ms} or more")
        return self


class ScalingSection(Section):
    """When instances, and pipes of each, are added and taken away. Utilisation is that of the average pipe."""

    enabled: bool = True
    high: float = Field(default=0.7, gt=0, le=1)  # above it for `up_s`: one more
    low: float = Field(default=0.3, ge=0, lt=1)  # what one less would have below it for `down_s`: one less
    capacity: float = Field(
        default=0, ge=0
    )  # packets/s that one instance with `instance.pipes` pipes is good for; 0: its pipes measure utilisation
    latency_us: float = Field(default=0, ge=0)  # mean above it counts as high; 0: is not looked at
    up_s: float = Field(default=0.2, ge=0, le=3600)
    down_s: float = Field(default=3.0, ge=0, le=86_400)
    cool_down_s: float = Field(default=1.0, ge=0, le=86_400)  # after a change
    most_pipes: int = Field(default=0, ge=0, le=64)  # of an instance, from `instance.pipes` on; 0: as many as those

    @model_validator(mode="after")
    def _hysteresis(self) -> ScalingSection:
        if self.low >= self.high:
            raise ValueError(f"low: {self.low} is not below high ({self.high}); leave a gap, or it flaps")
        return self


class SteeringSection(Section):
    """The switch."""

    kind: Literal["nftables", "openflow"]
    clients: str  # names of its ports
    servers: str
    spread: Literal["packet", "flow", "direction"] = "flow"
    namespace: str | None = None  # nftables: where the switch's interfaces are; openflow: where it is listened
    listen: Endpoint = "127.0.0.1:6653"  # openflow: where the switch connects to
    datapath: int | None = Field(default=None, ge=0, lt=1 << 64)  # openflow: its identifier; None: the first that comes
    table: int = Field(default=0, ge=0, le=253)  # openflow: for our flow entries
    priority: int = Field(default=1000, ge=1, le=65_534)  # ours have this one and the next

    @model_validator(mode="after")
    def _possible(self) -> SteeringSection:
        if self.kind == "openflow" and self.spread == "packet":
            raise ValueError("spread: OpenFlow cannot spread packet by packet; use 'flow', 'direction', or nftables")
        return self


class HostSection(Section):
    """A host that can run instances. What it has is measured; `cores` and `memory_mb` allow less."""

    name: HostName
    driver: Literal["process", "docker"] = "process"
    address: str = ""  # "": this machine; https://HOST:PORT of its `snf agent`; ssh:// or tcp:// of its Docker Engine
    token_file: str | None = None  # of the agent
    authority_file: str | None = None  # certificates (PEM) that the agent's is checked by; None: the system's
    slots: Slots = Field(min_length=1, max_length=256, strict=False)
    cores: tuple[int, ...] | None = Field(default=None, strict=False)
    cores_per_instance: int = Field(default=0, ge=0, le=256)  # 0: all share them
    memory_mb: int = Field(default=0, ge=0)  # for all instances together; 0: what there is
    memory_per_instance_mb: int = Field(default=0, ge=0)  # 0: no limit
    image: str = "statelessnf"  # docker


class OrchestratorSection(Section):
    """All of it."""

    minimum: int = Field(default=1, ge=1, le=1000)
    maximum: int = Field(default=1, ge=1, le=1000)
    spares: int = Field(default=0, ge=0, le=1000)
    api: Endpoint = "127.0.0.1:8470"
    beats: tuple[Endpoint, ...] = Field(default=("127.0.0.1:0",), min_length=1, max_length=4, strict=False)
    store: str | None = None  # of the orchestrator's own state; None: the deployment's (embedded for the baseline)
    detection: DetectionSection = Field(default_factory=DetectionSection)
    scaling: ScalingSection = Field(default_factory=ScalingSection)
    steering: SteeringSection
    hosts: tuple[HostSection, ...] = Field(min_length=1, max_length=256, strict=False)

    @model_validator(mode="after")
    def _possible(self) -> OrchestratorSection:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum: {self.minimum} is more than maximum ({self.maximum}); correct one of them")
        _distinct("hosts", [host.name for host in self.hosts])
        ports = [
            port for host in self.hosts for slot in host.slots for port in (slot.switch_inside, slot.switch_outside)
        ]
        _distinct("hosts: slots", [*ports, self.steering.clients, self.steering.servers])
        if (slots := sum(len(host.slots) for host in self.hosts)) < self.minimum:
            raise ValueError(f"hosts: they have {slots} slots, and minimum is {self.minimum}; add slots")
        return self


def _distinct(what: str, names: list[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"{what}: {name!r} is there twice; each has a name of its own")


def orchestration(deployment: Deployment) -> OrchestratorSection:
    """The deployment's section [orchestrator]. Raises ConfigError: missing, or anything wrong with it."""
    if deployment.orchestrator is None:
        do = "add one (see examples/orchestrated.toml), or start instances by hand with snf run"
        raise ConfigError("this deployment has no section [orchestrator]", str(deployment.path), do)
    if ".py:" in deployment.function and not deployment.function.startswith("/"):
        what = "instances read a copy of this file, elsewhere, and would not find the function"
        raise ConfigError(what, f"{deployment.path}: function", "write its whole path, from / on")
    section = validated(OrchestratorSection, deployment.orchestrator, deployment.path, ("orchestrator",))
    check_pipes(section, deployment.instance.pipes, f"{deployment.path}: orchestrator.scaling.most_pipes")
    check_beats(section, f"{deployment.path}: orchestrator.beats")
    return section
