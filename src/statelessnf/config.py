"""The deployment file: what it may say, its defaults, and errors that name file, key, reason and remedy.

`load` reads a TOML file into a frozen `Deployment`. Anything wrong is a ConfigError before anything starts; a key that
does not exist is never ignored. The section named as the function is validated by that function's own `Config`.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    model_validator,
)

from statelessnf.config_errors import validated
from statelessnf.errors import ConfigError, SnfError
from statelessnf.find import find_function
from statelessnf.function import Function
from statelessnf.network_section import NetworkSection, check_network
from statelessnf.networks import Network, NetworkField
from statelessnf.section import Section
from statelessnf.store.embedded import default_run_directory
from statelessnf.store.url import StoreUrl, parse_url

NAME = r"[a-z0-9][a-z0-9-]{0,30}"  # of a deployment
STALE_MARGIN = 1050  # ms: what the clocks of store nodes may differ by (guard_ms), and some
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")  # RFC 1918, RFC 4193


def _store_url(text: object) -> str:
    if not isinstance(text, str):
        raise ValueError('should be an address in quotes, such as "embedded"')
    try:
        parse_url(text)
    except ConfigError as error:
        raise ValueError(f"{error.what}; {error.do}" if error.do else error.what) from error
    return text


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise ValueError(f"{text!r} is no name; use up to 31 letters a-z, digits and hyphens")
    return text


class StoreSection(Section):
    """Where the records live."""

    url: Annotated[str, BeforeValidator(_store_url)] = "embedded"
    cache: Literal["tracked", "off"] = "tracked"
    stale_ms: int = Field(default=2000, ge=0, le=60_000)  # how long cached flows go on without the store
    memory_mb: int = Field(default=1024, ge=16, le=1 << 20)  # of the embedded store, at most

    @property
    def address(self) -> StoreUrl:
        """The parsed `url`."""
        return parse_url(self.url)


class Ports(Section):
    """DPDK device arguments of the two sides, for instance `net_af_xdp0,iface=eth1`."""

    inside: str = Field(min_length=1, max_length=200)
    outside: str = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _distinct(self) -> Ports:
        inside, outside = _port_parts(self.inside), _port_parts(self.outside)
        for part in ("device", "iface"):
            if part in inside and inside[part] == outside.get(part):
                raise ValueError(f"inside and outside are the same port ({inside[part]}); give two different ones")
        return self


def _port_parts(text: str) -> dict[str, str]:
    device, *arguments = text.split(",")
    return {"device": device, **dict(item.partition("=")[::2] for item in arguments)}


class InstanceSection(Section):
    """One instance: its ports, threads and limits. Limits hold for each pipe."""

    ports: Ports | None = None  # replay needs none
    pipes: int = Field(default=1, ge=1, le=64)
    threads: Literal["auto", 1, 2] = "auto"  # for each pipe
    cache_flows: int = Field(default=500_000, ge=1, le=100_000_000)  # records kept in memory; baseline: records at all
    packets: int = Field(default=8192, ge=64, le=1 << 20)  # in flight
    flights: int = Field(default=4096, ge=1, le=1 << 20)  # flows that wait for the store
    max_queue: int = Field(default=256, ge=1, le=65_536)  # packets of one flow that wait
    new_flows_per_s: int = Field(default=200_000, ge=1, le=100_000_000)
    run_directory: Path | None = Field(default=None, strict=False)


class Deployment(Section):
    """A whole deployment file."""

    name: Annotated[str, AfterValidator(_name)]
    function: str
    inside: tuple[NetworkField, ...] = Field(
        default=tuple(ipaddress.ip_network(text) for text in PRIVATE), strict=False
    )
    store: StoreSection = Field(default_factory=StoreSection)
    instance: InstanceSection = Field(default_factory=InstanceSection)
    network: NetworkSection = Field(default_factory=NetworkSection)
    orchestrator: dict[str, Any] | None = None  # read by `snf up` and `snf check` (orchestrator/section.py)
    _function_class: type[Function] = PrivateAttr()
    _section: dict[str, Any] = PrivateAttr()
    _settings: BaseModel = PrivateAttr()
    _path: Path = PrivateAttr()

    @property
    def function_class(self) -> type[Function]:
        """What `function` names."""
        return self._function_class

    @property
    def settings(self) -> BaseModel:
        """The function's own section, an instance of its `Config`."""
        return self._settings

    @property
    def section(self) -> dict[str, Any]:
        """The function's own section as it stands in the file."""
        return self._section

    @property
    def path(self) -> Path:
        """Of the file that it was read from."""
        return self._path

    @property
    def owned(self) -> list[Network]:
        """What the function answers for in ARP and neighbour discovery, outside."""
        return self._function_class.owned(self._settings)

    @property
    def run_directory(self) -> Path:
        """Where sockets, locks and logs of this deployment's instances are kept on this machine."""
        if self.instance.run_directory is not None:
            return self.instance.run_directory
        return default_run_directory(self.name)

    @model_validator(mode="after")
    def _sides(self) -> Deployment:
        if not self.inside:
            raise ValueError("inside: no network is named; name those behind the inside port")
        for index, network in enumerate(self.inside):
            if network.prefixlen == 0:
                raise ValueError(f"inside: {network} leaves nothing outside; name the networks behind the inside port")
            for other in self.inside[:index]:
                if network.version == other.version and network.overlaps(other):
                    raise ValueError(f"inside: {other} and {network} overlap; remove the smaller one")
        return self


def load(path: Path) -> Deployment:
    """The deployment in the TOML file `path`. Raises ConfigError: what, file and key, what to do."""
    return parse(read_document(path), path)


def read_document(path: Path) -> dict[str, Any]:
    """The file as plain tables. Raises ConfigError: unreadable, or no TOML (with line and column)."""
    return tables(read_text(path), path)


def read_text(path: Path) -> str:
    """The file as it is. Raises ConfigError: unreadable."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the deployment file: {error.strerror}", str(path), "check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError("the deployment file is not UTF-8 text", str(path), "save it as UTF-8") from error


def parse_text(text: str, path: Path) -> Deployment:
    """The deployment in the text of a TOML file; `path` is for messages. Raises ConfigError."""
    return parse(tables(text, path), path)


def tables(text: str, path: Path) -> dict[str, Any]:
    """The text of a deployment file as plain tables; `path` is for messages. Raises ConfigError: no TOML."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError("the tables are nested too deeply", str(path), "write them flatter") from error
    except ValueError as error:  # TOMLDecodeError, and a number of more digits than Python reads
        raise ConfigError(f"not valid TOML: {error}", str(path), "see https://toml.io for the syntax") from error


def parse(document: dict[str, Any], path: Path) -> Deployment:
    """Validates the tables of a deployment file; `path` is for messages. Raises ConfigError."""
    name = document.get("function")
    if not isinstance(name, str):
        return validated(Deployment, document, path, ())
    known = _function(name, path)
    rest = {key: value for key, value in document.items() if key != known.name}
    deployment = validated(Deployment, rest, path, (), extra=known.name)
    deployment._section = document.get(known.name, {})
    deployment._settings = function_settings(known, deployment._section, path, deployment.inside)
    deployment._function_class, deployment._path = known, path
    _check_links(deployment)
    _check_staleness(deployment)
    return deployment


def _check_staleness(deployment: Deployment) -> None:
    """An instance that is cut off must stop using a record before its port or server is another flow's (rule 14)."""
    life, stale = deployment.function_class.shortest_life(deployment.settings), deployment.store.stale_ms
    if life is None or deployment.store.address.kind == "memory" or stale + STALE_MARGIN < life:
        return
    what = f"an instance that is cut off would use a record for {stale} ms, and the shortest time-out is {life} ms"
    longer = f"make the function's time-outs longer than {stale + STALE_MARGIN} ms"
    do = f"stay below {life - STALE_MARGIN}, or {longer}" if life > STALE_MARGIN else longer
    raise ConfigError(what, f"{deployment.path}: store.stale_ms", do)


def function_settings(function: type[Function], section: object, where: Path, inside: tuple[Network, ...]) -> BaseModel:
    """A valid `Config` of the function from its section; `where` is for messages. Raises ConfigError.

    Validators of the `Config` find the deployment's networks in their context, as `inside`.
    """
    return validated(function.Config, section, where, (function.name,), context={"inside": inside})


def _check_links(deployment: Deployment) -> None:
    try:
        if deployment.function_class.rewrites:
            check_network(deployment.network, deployment.inside, deployment.owned)
        elif "network" in deployment.model_fields_set:
            what = f"function {deployment.function_class.name} leaves packets as they are, so it has no neighbours"
            raise ConfigError(what, "network", "remove the section")
    except ConfigError as error:
        raise ConfigError(error.what, f"{deployment.path}: {error.where}", error.do) from error


def _function(reference: str, path: Path) -> type[Function]:
    """The class, looked for beside the deployment file where `reference` is a file of its own."""
    if ".py:" in reference:
        reference = str(path.parent / reference)
    try:
        return find_function(reference)
    except SnfError as error:
        where = "" if error.where in ("", "function") else f"{error.where}: "
        raise ConfigError(where + error.what, f"{path}: function", error.do) from error
