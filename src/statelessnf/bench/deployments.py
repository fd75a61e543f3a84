"""What the benchmarks deploy: for each function a deployment that fits the traffic, or one from a file.

The traffic: clients in 10/8 open TCP flows to servers in 198.18/15, or to the first service of a load balancer. A file
gives the function, its settings and limits; name, store and ports are always the benchmark's own, as its records must
not meet those of a deployment that runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from statelessnf.config import Deployment, parse, read_document
from statelessnf.errors import ConfigError
from statelessnf.functions.balancer_config import BalancerConfig

MEMORY_MB = 4096  # short flows leave many records behind until their time-out
INSIDE, OUTSIDE = 0, 1

# For a function that rewrites: side of the clients, and address and port that they ask (statelessnf/_engine.pyi).
Service = tuple[int, int, int]
Document = dict[str, Any]

# Closed flows are forgotten soon: at benchmark rates the defaults of minutes would be millions of records.
_CLOSED_S = 5
# Both keys of a flow have a record.
_TWO_KEYS = {"cache_flows": 600_000, "packets": 8192, "new_flows_per_s": 1_000_000}

BUILT_IN: Mapping[str, Document] = {
    "firewall": {
        "inside": ["10.0.0.0/8"],
        "instance": {"cache_flows": 300_000, "packets": 8192},
        "firewall": {
            "rules": [
                {"action": "deny", "source": "172.16.0.0/12"},
                {"action": "allow", "direction": "outbound"},
            ],
            "timeouts": {"tcp_time_wait_s": _CLOSED_S, "tcp_close_s": _CLOSED_S},
        },
    },
    "nat": {
        "inside": ["10.0.0.0/8"],
        "instance": _TWO_KEYS,
        "nat": {
            "pool": [{"addresses": "203.0.113.0/24"}],
            "timeouts": {"tcp_transitory_s": _CLOSED_S, "tcp_closing_s": _CLOSED_S},
        },
    },
    "load_balancer": {
        "inside": ["172.16.0.0/12"],
        "instance": _TWO_KEYS,
        "load_balancer": {
            "services": [
                {
                    "name": "bench",
                    "address": "198.18.0.1",
                    "ports": [80],
                    "mode": "nat",
                    "policy": "least_connections",
                    "servers": [{"address": f"172.16.0.{host}"} for host in range(11, 19)],
                }
            ],
            "timeouts": {"tcp_closing_s": _CLOSED_S},
        },
    },
}


def bench_document(function: str, file: Path | None, store: str | None) -> Document:
    """The tables of a deployment file for `function`, or those of `file`. Raises ConfigError."""
    if file is not None:
        document = read_document(file)
    elif function in BUILT_IN:
        document = {"function": function, **BUILT_IN[function]}
    else:
        names = ", ".join(BUILT_IN)
        raise ConfigError(f"no deployment for {function!r} comes with the benchmarks", "--function", f"use {names}")
    if ".py:" in str(document.get("function")) and file is not None:
        document["function"] = str(file.absolute().parent / document["function"])
    limits = {
        key: value for key, value in document.get("instance", {}).items() if key not in ("ports", "run_directory")
    }
    own = {"name": "bench", "store": {"memory_mb": MEMORY_MB, "url": store or "embedded"}, "instance": limits}
    return {**document, **own}


def bench_deployment(document: Document, file: Path | None) -> Deployment:
    """Raises ConfigError."""
    deployment = parse(document, file or Path("snf bench"))
    if deployment.store.address.kind == "memory":
        raise ConfigError("the benchmarks compare with a store", "--store", "name a running server, or leave it out")
    return deployment


def service_for(deployment: Deployment) -> Service | None:
    """Whom the traffic's clients ask; None: the function does not rewrite. Raises ConfigError."""
    settings = deployment.settings
    if not isinstance(settings, BalancerConfig):
        return (INSIDE, 0, 0) if deployment.function_class.rewrites else None
    for service in settings.services:
        if service.protocol == "tcp" and service.address.version == 4:
            return (OUTSIDE, int(service.address), service.ports[0][0])
    raise ConfigError("no service of TCP over IPv4", f"{deployment.path}: load_balancer.services", "add one to measure")


def toml_text(document: Document) -> str:
    """A deployment file that says the same: tables and lists inline."""
    return "".join(f"{json.dumps(key)} = {_toml(value)}\n" for key, value in document.items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
