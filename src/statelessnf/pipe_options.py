"""The engine's options, made from a deployment; the only place that knows their names (statelessnf/_engine.pyi)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from statelessnf.config import Deployment
from statelessnf.errors import ConfigError
from statelessnf.function import Function, table_arrays
from statelessnf.store.checks import StoreAccess


class Tables(NamedTuple):
    """A function's static state as the engine takes it."""

    tables: list[tuple[bytes, int]]  # bytes and rows, in the order of `table_types`
    rules: bytes | None  # rows for the classifier


def tables_of(function: type[Function], settings: BaseModel) -> Tables:
    """From the function's section of the deployment file. Raises FunctionError."""
    arrays = table_arrays(function, settings)
    rows = getattr(function, "rules", None)
    rules = None if rows is None else rows(settings).tobytes()
    return Tables([(array.tobytes(), len(array)) for array in arrays.values()], rules)


def engine_lacks(function: type[Function]) -> str:
    """What this release's engine would have to do for the function, and does not; empty: nothing."""
    if not function.rewrites:
        return ""
    return f"function {function.name} rewrites packets, and this release's engine does not"


def check_engine(deployment: Deployment) -> None:
    """Raises ConfigError for a function that the engine cannot run."""
    if problem := engine_lacks(deployment.function_class):
        raise ConfigError(problem, f"{deployment.path}: function", "snf check explains the file all the same")


def deployment_number(name: str) -> int:
    """32 bits that keep deployments apart that share a store."""
    return int.from_bytes(hashlib.blake2s(name.encode(), digest_size=4).digest(), "little")


def pipe_options(deployment: Deployment, program: Path, store: StoreAccess | None) -> dict[str, Any]:
    """Options that a single pipe and an instance share. `program` from `builder.build`; no store: the baseline.

    Raises ConfigError for a function that the engine cannot run, FunctionError.
    """
    check_engine(deployment)
    tables = tables_of(deployment.function_class, deployment.settings)
    limits, stale = deployment.instance, deployment.store.stale_ms
    options: dict[str, Any] = {
        "program": str(program),
        "tables": tables.tables,
        "rules": tables.rules,
        "mode": "baseline" if store is None else deployment.store.cache,
        "deployment": deployment_number(deployment.name),
        "secret": int.from_bytes(os.urandom(8), "little") if store is None else store.secret,
        "limits": {
            "packets": limits.packets,
            "flows": limits.cache_flows,
            "flights": limits.flights,
            "queue": limits.max_queue,
            "new_flows_per_s": limits.new_flows_per_s,
            "stale_ms": stale,
        },
    }
    if store is not None:
        options["store"] = {
            "address": store.address,
            "user": store.user,
            "password": store.password,
            "database": store.database,
            "stale_ms": stale,
        }
    return options
