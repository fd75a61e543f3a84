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
from statelessnf.owned import range_of, rows
from statelessnf.store.checks import StoreAccess

# What of the remote endpoint a flow's keys hold, by the filtering of RFC 4787 §5 (docs/decisions/nat-mappings.md).
REMOTES = {"address-and-port": "endpoint", "address": "address", "endpoint-independent": "nothing"}


# ms for which the record of a flow with a timer stands behind its deadline: who ends the flow tells what it was. The
# timer is looked at within a second, or by another instance at the end of a lease (duties/expiry.py).
TOLD_MS = 60_000


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


def traits_of(function: type[Function], settings: BaseModel) -> dict[str, Any]:
    """What the engine does for the function beside keeping records (Traits in engine/program.hpp)."""
    traits: dict[str, Any] = {"rewrites": function.rewrites, "timed": function.timed(settings)}
    if function.rewrites:
        traits["remote"] = REMOTES[filtering := getattr(settings, "filtering", "address-and-port")]
        turned = [] if filtering == "address-and-port" else function.owned(settings)
        traits["turned"] = rows(range_of(network) for network in turned)
    if function.counter is not None:
        offsets = function.record.fields
        assert offsets is not None
        traits["counter"] = tuple(offsets[name][1] for name in function.counter)
    return traits


def check_change(function: type[Function], before: BaseModel, after: BaseModel, where: str) -> None:
    """Raises ConfigError for settings that instances cannot take over while they run, side by side with others."""
    one, other = traits_of(function, before), traits_of(function, after)
    do = "stop all instances of the deployment, then start them with the new file"
    if {**one, "turned": None} != {**other, "turned": None}:
        raise ConfigError("flows would get other keys, or timers, than those of the instances that run", where, do)
    if one != other:
        what = "its addresses cannot change while instances run: what is sent to them from inside is turned back"
        raise ConfigError(what, where, do)


def deployment_number(name: str) -> int:
    """32 bits that keep deployments apart that share a store."""
    return int.from_bytes(hashlib.blake2s(name.encode(), digest_size=4).digest(), "little")


def pipe_options(deployment: Deployment, program: Path, store: StoreAccess | None) -> dict[str, Any]:
    """Options that a single pipe and an instance share. `program` from `builder.build`; no store: the baseline.

    Raises FunctionError.
    """
    tables = tables_of(deployment.function_class, deployment.settings)
    limits, stale = deployment.instance, deployment.store.stale_ms
    traits = traits_of(deployment.function_class, deployment.settings)
    options: dict[str, Any] = {
        "program": str(program),
        "tables": tables.tables,
        "rules": tables.rules,
        "traits": traits,
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
            "linger_ms": TOLD_MS if traits["timed"] else 0,
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
