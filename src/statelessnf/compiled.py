"""Runs built functions from Python, without the engine: for tests that hold the compiled form against the plain one."""

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from statelessnf.abi import JOB, TABLE
from statelessnf.fields import Fields
from statelessnf.function import Classifier, Function, Outcome
from statelessnf.packet import PACKET

_CLASSIFY = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, ctypes.c_void_p)
Array = np.ndarray[Any, Any]


def _callback(services: Classifier | None) -> Any:
    """What `snf_classify_pointer` is set to; a null pointer where there is no classifier."""
    if services is None:
        return _CLASSIFY()

    def ask(_handle: int, address: int) -> int:
        memory = memoryview((ctypes.c_ubyte * PACKET.itemsize).from_address(address)).cast("B")
        return services.classify(Fields(np.frombuffer(memory, dtype=PACKET)[0]))

    return _CLASSIFY(ask)


def jobs_for(packets: Array, before: Array, after: Array, chain: bool = False, ask: bool = True) -> Array:
    """Jobs (n, JOB) on `packets` (n, PACKET), `before` and `after` (n, the record type), which the caller keeps.

    chain: each but the first runs on what the one before it left. ask: for the lifetime also of unchanged records.
    """
    jobs = np.zeros(len(packets), JOB)
    steps = np.arange(len(packets), dtype=np.uint64)
    jobs["packet"] = packets.ctypes.data + steps * packets.itemsize
    jobs["before"] = before.ctypes.data + steps * before.itemsize
    jobs["after"] = after.ctypes.data + steps * after.itemsize
    jobs["verdict"], jobs["fault"], jobs["lifetime"] = 0xFFFFFFFF, 0xFFFF, ask  # the burst has to set verdict and fault
    if chain:
        jobs["before"][1:], jobs["changed"][1:] = jobs["after"][:-1], 1
    return jobs


def run_jobs(
    shared_object: Path,
    function: type[Function],
    jobs: Array,
    arrays: Mapping[str, Array],
    services: Classifier | None = None,
) -> None:
    """One burst: `jobs` from `jobs_for`, `arrays` as from `table_arrays`. Raises OSError for what cannot be loaded."""
    library = ctypes.CDLL(str(shared_object))
    callback = _callback(services)
    ctypes.c_void_p.in_dll(library, "snf_classify_pointer").value = ctypes.cast(callback, ctypes.c_void_p).value
    tables = np.zeros(max(1, len(function.table_types)), TABLE)
    for i, name in enumerate(function.table_types):
        tables[i] = (arrays[name].ctypes.data, len(arrays[name]))
    addresses = (jobs.ctypes.data, len(jobs), tables.ctypes.data, 0 if services is None else 1)
    library.snf_burst(*(ctypes.c_uint64(value) for value in addresses))


def run_compiled(
    shared_object: Path,
    function: type[Function],
    packets: Array,
    records: Array,
    arrays: Mapping[str, Array],
    services: Classifier | None = None,
    chain: bool = False,
) -> list[Outcome]:
    """One burst: `packets` (n, PACKET; changed in place) on `records` (n, the record type).

    With `chain` each packet runs on the record that the one before it left, as packets of one flow do; only the first of
    `records` counts then. `arrays`, errors: as of `run_jobs`.
    """
    after = np.zeros(len(packets), function.record)
    jobs = jobs_for(packets, records, after, chain)
    run_jobs(shared_object, function, jobs, arrays, services)
    return [
        Outcome(int(job["verdict"]), after[i : i + 1], int(job["lifetime"]), bool(job["fault"]))
        for i, job in enumerate(jobs)
    ]
