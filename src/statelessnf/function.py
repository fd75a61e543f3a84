"""What a network function is: a class with a record type, drop reasons, events, tables and two pure functions.

    class Pinhole(Function):
        name = "pinhole"
        record = np.dtype([("state", "u1"), ("until", "<u8")])
        drop_reasons = ("no_flow",)
        class Config(BaseModel): ...
        table_types = {"ports": np.dtype([("number", "<u2")])}
        @staticmethod
        def tables(config): return {"ports": np.array(...)}
        @staticmethod
        def process(packet, record, tables): ... return FORWARD
        @staticmethod
        def lifetime(record, tables): return 30_000

The contract is checked when the class is made (`FunctionError`). `process` and `lifetime` run in two forms that agree:
compiled (`statelessnf.builder`) and plain (`run_plain`), on views that read and write like C integers. Numba is not
imported here: an instance never loads it.
"""

from collections import namedtuple
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from pydantic import BaseModel

from statelessnf.errors import FunctionError
from statelessnf.fields import Elements, Fields
from statelessnf.networks import Network
from statelessnf.packet import DROP, FORWARD, MAX_DROP_REASONS, PARK

MAX_RECORD_SIZE = 96  # max_record_size in engine/function.hpp
MAX_EVENTS = 256
MAX_LIFETIME = (1 << 53) - 1  # ms: exact in every form, and beyond all flows


class Classifier(Protocol):
    """The engine's look-up of rules, or its linear reference (plain form)."""

    def classify(self, packet: Any) -> int:
        """What the service answers for `packet`: an index, or a negative number where nothing matches."""
        ...


def classify(services: Any, packet: Any) -> int:
    """Ask the engine's classifier, with `tables.services` as first argument; -1 (no match) where there is none."""
    return -1 if services is None else int(services.classify(packet))


class NoConfig(BaseModel, extra="forbid"):
    """The section of a function that has nothing to configure."""


class Function:
    """A network function; never instantiated. See the top of this file for an example.

    `process(packet, record, tables)` changes `record` (all bytes zero: no record) and may rewrite `packet`; it returns
    FORWARD, DROP, `drop_as(i)` or PARK. `lifetime(record, tables)` gives 0 .. MAX_LIFETIME milliseconds. Anything else
    (an exception, an index out of bounds, an unknown verdict) is a fault: DROP, the record as it was. PARK is, too: no
    engine parks packets yet; they are counted under `not_parked`.
    """

    name: ClassVar[str]
    record: ClassVar[np.dtype[Any]]  # packed integers, first field `state` of type u1, at most 96 bytes
    drop_reasons: ClassVar[tuple[str, ...]] = ()
    events: ClassVar[tuple[str, ...]] = ()
    counters: ClassVar[str] = ""  # what `count` counts, by index: a key of `snf run --json`; "": it is not called
    table_types: ClassVar[Mapping[str, np.dtype[Any]]] = {}  # in the order in which the engine gets the tables
    Config: ClassVar[type[BaseModel]] = NoConfig
    rewrites: ClassVar[bool] = False  # `process` assigns addresses and ports of packets
    counter: ClassVar[tuple[str, str] | None] = (
        None  # fields: 1 while the flow counts; what names its counter (8 bytes)
    )
    keyed: ClassVar[tuple[str, ...]] = ()  # fields that say what keys the flow has: an operator may not change them

    @staticmethod
    def process(packet: Any, record: Any, tables: Any) -> int:
        raise NotImplementedError  # each function has its own

    @staticmethod
    def lifetime(record: Any, tables: Any) -> int:
        raise NotImplementedError  # each function has its own

    @staticmethod
    def tables(config: Any) -> Mapping[str, np.ndarray[Any, Any]]:
        """One 1-d array for each of `table_types`, made from a valid `Config`."""
        return {}

    @staticmethod
    def owned(config: Any) -> list[Network]:
        """Addresses that the deployment answers for in ARP and neighbour discovery, on the outside. Never compiled."""
        return []

    @staticmethod
    def shortest_life(config: Any) -> int | None:
        """Milliseconds: the least that a flow's record lives on. None: nothing is harmed by a record that is used a
        little longer than it lives, as no other flow may have what it stands for. Never compiled.
        """
        return None

    @staticmethod
    def timed(config: Any) -> bool:
        """Whether timers of the store tell the end of flows (protocol.md, rule 10), at some cost. Never compiled."""
        return False

    @staticmethod
    def describe(record: Any) -> Mapping[str, Any]:
        """What an event tells of the flow's record (an element of the record type), for JSON. Never compiled."""
        return {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        check_function(cls)


def _problem(cls: type[Function]) -> str:
    for name in ("name", "record"):
        if not hasattr(cls, name):
            return f"has no `{name}`"
    for name in ("process", "lifetime", "tables"):
        if not isinstance(next(vars(c)[name] for c in cls.__mro__ if name in vars(c)), staticmethod):
            return f"`{name}` must be a staticmethod"
    for name in ("process", "lifetime"):
        if getattr(cls, name) is getattr(Function, name):
            return f"does not define `{name}`"
    if not cls.name.isidentifier():
        return f"name '{cls.name}' must be an identifier: it names a section of the deployment file"
    config: Any = cls.Config
    if not isinstance(config, type) or not issubclass(config, BaseModel):
        return "`Config` must be a pydantic model"
    return _record_problem(cls.record) or _names_problem(cls) or _table_problem(cls)


def _integers_only(dtype: np.dtype[Any]) -> str:
    """The first field that is no little-endian integer or 1-d array of them ('' if there is none)."""
    for name in dtype.names or ():
        field = dtype[name]
        if field.base.kind not in "ui" or not field.base.isnative or len(field.shape) > 1:
            return name
    return ""


def _record_problem(dtype: Any) -> str:
    if not isinstance(dtype, np.dtype) or not dtype.names:
        return "`record` must be a structured NumPy dtype"
    if dtype.names[0] != "state" or dtype["state"] != np.dtype("u1"):
        return "the first field of `record` must be `state`, type u1 (0: no record)"
    if wrong := _integers_only(dtype):
        return f"record field '{wrong}' must be an integer or a 1-d array of integers"
    if dtype.itemsize != sum(dtype[name].itemsize for name in dtype.names):
        return "`record` must be packed: no align=True, no gaps, no overlaps"
    if dtype.itemsize > MAX_RECORD_SIZE:
        return f"`record` has {dtype.itemsize} bytes, at most {MAX_RECORD_SIZE} are allowed"
    return ""


def _names_problem(cls: type[Function]) -> str:
    for attribute, limit in (("drop_reasons", MAX_DROP_REASONS), ("events", MAX_EVENTS)):
        names = getattr(cls, attribute)
        if not isinstance(names, tuple) or not all(isinstance(n, str) and n.isidentifier() for n in names):
            return f"`{attribute}` must be a tuple of identifiers"
        if len(names) > limit or len(set(names)) < len(names):
            return f"`{attribute}` may hold {limit} different names at most"
    if not isinstance(cls.counters, str) or (cls.counters and not cls.counters.isidentifier()):
        return "`counters` must be an identifier"
    if unknown := sorted(set(cls.keyed) - set(cls.record.names or ())):
        return f"`keyed` names '{unknown[0]}', which is no field of `record`"
    return ""


def _table_problem(cls: type[Function]) -> str:
    for name, dtype in cls.table_types.items():
        if not name.isidentifier() or name.startswith("_") or name == "services":
            return f"table '{name}' must be an identifier other than `services`"
        if not isinstance(dtype, np.dtype) or not dtype.names or _integers_only(dtype):
            return f"table '{name}' must have a structured NumPy dtype of integers"
    return ""


def check_function(cls: type[Function]) -> None:
    """FunctionError that names the class and the first thing wrong with it."""
    if problem := _problem(cls):
        raise FunctionError(problem, where=f"{cls.__module__}.{cls.__qualname__}")


def table_arrays(function: type[Function], config: BaseModel) -> dict[str, np.ndarray[Any, Any]]:
    """`function.tables(config)`, checked against `table_types` and in its order; contiguous. Raises FunctionError."""
    arrays = function.tables(config)
    where = f"{function.__module__}.{function.__qualname__}"
    if set(arrays) != set(function.table_types):
        raise FunctionError(f"tables() gave {sorted(arrays)}, table_types has {sorted(function.table_types)}", where)
    for name, dtype in function.table_types.items():
        if arrays[name].ndim != 1 or arrays[name].dtype != dtype:
            raise FunctionError(f"tables()['{name}'] is not 1-d of the type in table_types", where)
    return {name: np.ascontiguousarray(arrays[name]) for name in function.table_types}


def tables_type(function: type[Function]) -> Any:
    """The namedtuple that `process` gets: one field for each table, in declared order, then `services`."""
    return namedtuple("Tables", [*function.table_types, "services"])


def plain_tables(
    function: type[Function], arrays: Mapping[str, np.ndarray[Any, Any]], services: Classifier | None = None
) -> Any:
    """`tables` for the plain form: read-only views of `arrays`, and `services` as the object behind `classify`."""
    views = []
    for name in function.table_types:
        array = arrays[name].view()
        array.flags.writeable = False
        views.append(Elements(array))
    return tables_type(function)(*views, services)


def known_verdict(function: type[Function], verdict: int) -> bool:
    """FORWARD, PARK, DROP, or `drop_as` of a reason that exists."""
    return verdict in (FORWARD, PARK) or (verdict & 0xFF == DROP and 0 <= verdict >> 8 <= len(function.drop_reasons))


class Outcome(NamedTuple):
    """What one run gave: as the engine sees it in `Job` (engine/function.hpp)."""

    verdict: int
    record: np.ndarray[Any, Any]  # shape (1,), the function's record dtype
    lifetime: int  # ms
    fault: bool


def run_plain(function: type[Function], packet: Any, record: Any, tables: Any) -> Outcome:
    """Run `function` uncompiled on one packet and one record, guarded like the compiled form.

    `packet`: element of a PACKET array (changed in place, as the engine's); `record`: element of an array of
    `function.record`, left alone; `tables` from `plain_tables`. Raises nothing that `process` raises.
    """
    before = np.array([record], dtype=function.record)
    after = before.copy()
    try:
        verdict = int(function.process(Fields(packet), Fields(after[0]), tables))
        lifetime = int(function.lifetime(Fields(after[0]), tables))
        if known_verdict(function, verdict) and verdict != PARK and 0 <= lifetime <= MAX_LIFETIME:
            return Outcome(verdict, after, lifetime, fault=False)
    except Exception:  # whatever the function did: the guard of the compiled form (engine/function.hpp, Job::fault)
        pass
    packet["effect_count"] = 0
    return Outcome(DROP, before, 0, fault=True)
