"""What a container of an instance is: the words of the Engine API for a launch, and nothing that does anything.

Its cores and memory are its own, its network is none but the interfaces that it is lent, and it may do what AF_XDP
needs and no more. With a slot whose ports are PCI devices (SR-IOV virtual functions, §5.1 of the paper) it gets VFIO
and hugepages instead. The orchestrator alone decides about restarts.
"""

from __future__ import annotations

import io
import json
import re
import secrets
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from statelessnf.errors import DriverError
from statelessnf.orchestrator.drivers.driver import Launch, Slot
from statelessnf.orchestrator.drivers.facts import Facts

FOLDERS_LABEL = "statelessnf.folders"  # of an image: folders of the host that it needs, as a JSON list
DEPLOYMENT_LABEL, INSTANCE_LABEL = "statelessnf.deployment", "statelessnf.instance"
RUN_LABEL = "statelessnf.run-directory"  # of the deployment, where that is on the Engine's machine
LENT_LABEL = "statelessnf.lent"  # interfaces, and the namespace that they come from, as JSON
CACHE_VOLUME, CACHE = "statelessnf-cache", "/var/cache/statelessnf"  # compiled functions
INSIDE = "etc/statelessnf"  # where document and order are, within the container
SNF = ("python3", "-m", "statelessnf.cli")
WAIT = ("python3", "-m", "statelessnf.orchestrator.drivers.contained")
AF_XDP = ("NET_ADMIN", "NET_RAW", "IPC_LOCK")  # XDP program, sockets, pinned buffers; and, for program and maps:
BPF, BEFORE_BPF = (
    "BPF",
    "SYS_ADMIN",
)  # some builds of Engine 20.10 do not know the former, which is a part of the latter
VFIO = ("IPC_LOCK",)
_PCI = re.compile(r"([0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7](,.*)?")


class Handle(BaseModel):
    """What finds the container again, and the interfaces that it was lent."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    container: str
    interfaces: tuple[str, ...]
    home: str | None

    @property
    def holder(self) -> str:
        """Name of the network namespace while interfaces are lent."""
        return f"statelessnf-{self.container[:12]}"


def handle_of(container: dict[str, Any]) -> Handle:
    """Of a container as a list of the Engine has it. Raises ValueError for labels that are not ours."""
    lent = json.loads(container["Labels"][LENT_LABEL])
    return Handle.model_validate_json(json.dumps({"container": container["Id"], **lent}))


def uses_pci(slot: Slot) -> bool:
    """Whether a port of the slot is a PCI device, such as a virtual function."""
    return any(_PCI.fullmatch(port) for port in (slot.inside, slot.outside))


def container_name(facts: Facts, launch: Launch) -> str:
    """One that no other has."""
    return f"snf-{facts.name}-{launch.order.name}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Setting:
    """What a container is made for besides its launch: `image` as the Engine describes it, `bpf`: see BPF."""

    facts: Facts
    image: dict[str, Any]
    command: tuple[str, ...]
    local: bool
    bpf: str = BPF


def description(launch: Launch, setting: Setting) -> dict[str, Any]:
    """The body of the request that makes the container. Raises DriverError for an image that is not ours."""
    return {
        "Image": setting.image["Id"],
        "Cmd": _words(launch, setting.command),
        "Labels": {
            DEPLOYMENT_LABEL: setting.facts.name,
            INSTANCE_LABEL: launch.order.name,
            RUN_LABEL: str(setting.facts.run_directory) if setting.local else "",
            LENT_LABEL: json.dumps({"interfaces": launch.slot.interfaces, "home": launch.slot.namespace}),
        },
        "HostConfig": {
            "NetworkMode": "none",
            "RestartPolicy": {"Name": "no"},
            "CpusetCpus": ",".join(map(str, launch.cores)),
            "Memory": launch.memory_mb << 20,
            "MemorySwap": launch.memory_mb << 20,  # together with memory: no swap
            "CapDrop": ["ALL"],
            "CapAdd": list(VFIO) if uses_pci(launch.slot) else [*AF_XDP, setting.bpf],
            "Devices": _devices(launch.slot),
            "Mounts": _mounts(launch, setting),
            "Sysctls": {f"net.ipv6.conf.{where}.disable_ipv6": "1" for where in ("all", "default")},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
        },
    }


def _words(launch: Launch, command: tuple[str, ...]) -> list[str]:
    name = launch.order.name
    words = [*command, "run", f"/{INSIDE}/{name}.toml", "--order", f"/{INSIDE}/{name}.json", "--json"]
    return [*WAIT, *launch.slot.interfaces, "--", *words] if launch.slot.interfaces else words


def _devices(slot: Slot) -> list[dict[str, str]]:
    if not uses_pci(slot):
        return []
    return [{"PathOnHost": "/dev/vfio", "PathInContainer": "/dev/vfio", "CgroupPermissions": "rwm"}]


def _mounts(launch: Launch, setting: Setting) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [{"Type": "volume", "Source": CACHE_VOLUME, "Target": CACHE}]
    if setting.local:  # the embedded store's socket and locks
        mounts.append(_bind(str(setting.facts.run_directory)))
    if uses_pci(launch.slot):
        mounts.append(_bind("/dev/hugepages"))
    return mounts + [_bind(folder, ReadOnly=True) for folder in _folders(setting.image)]


def _bind(folder: str, **more: bool) -> dict[str, Any]:
    return {"Type": "bind", "Source": folder, "Target": folder, **more}


def _folders(image: dict[str, Any]) -> list[str]:
    text = (image["Config"].get("Labels") or {}).get(FOLDERS_LABEL, "[]")
    try:
        folders = json.loads(text)
    except ValueError:
        folders = None
    if not isinstance(folders, list) or not all(isinstance(f, str) and Path(f).is_absolute() for f in folders):
        raise DriverError(f"label {FOLDERS_LABEL} is no list of folders", str(image["Id"]), "build the image again")
    return folders


def archive(launch: Launch) -> bytes:
    """Document and order as a tar, readable by the container's root only; they go when the container goes."""
    files = {"toml": launch.document, "json": launch.order.model_dump_json()}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for suffix, text in files.items():
            entry = tarfile.TarInfo(f"{INSIDE}/{launch.order.name}.{suffix}")
            entry.mode, entry.size = 0o600, len(data := text.encode())
            tar.addfile(entry, io.BytesIO(data))
    return content.getvalue()
