"""Compiles a network function with Numba and links it into a shared object. Runs in the builder process only.

Every Python function that `process` and `lifetime` reach is compiled anew, with bounds checks and Python's division
(a zero divisor is a fault, as in plain Python), whatever its module does with it. Numba's IR is emitted again as
position-independent code; all of it but one entry point is made internal, so that the object needs neither Numba nor
Python. Array allocation and everything else that needs a run-time is refused.
"""

import ctypes
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import NumbaError
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from statelessnf.abi import FUNCTION_ABI, JOB, TABLE
from statelessnf.errors import BuildError
from statelessnf.function import MAX_LIFETIME, Function, classify, tables_type
from statelessnf.packet import DROP, FORWARD, PACKET, PARK
from statelessnf.reach import entries, global_names, place, reach_of

_STUB = Path(__file__).with_name("burst.c")
_OPTIONS = {"boundscheck": True, "nogil": True, "error_model": "python", "fastmath": False}
_CC = ("cc", "-std=c11", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror")
_LINK = ("-Wl,-z,defs", "-Wl,-z,relro,-z,now", "-lm")


def _record_at(dtype: np.dtype[Any]) -> Any:
    """Intrinsic: the record of type `dtype` at an address."""
    record = numba.from_dtype(dtype)

    def typing(_context: Any, _address: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(record))

        return record(types.uint64), generate

    return intrinsic(typing)


def _load_table(context: Any, builder: Any, kind: Any, address: Any) -> Any:
    """The array of type `kind` that the `Table` at `address` describes."""
    word = ir.IntType(64)
    entry = builder.inttoptr(address, word.as_pointer())
    data, rows = builder.load(entry), builder.load(builder.gep(entry, [ir.Constant(ir.IntType(32), 1)]))
    array = make_array(kind)(context, builder)
    size = context.get_constant(types.intp, kind.dtype.size)
    pointer = builder.inttoptr(data, array.data.type)
    populate_array(array, data=pointer, shape=[rows], strides=[size], itemsize=size, meminfo=None)
    return array._getvalue()


def _tables_at(function: type[Function]) -> tuple[Any, Any]:
    """Numba type of `tables`, and the intrinsic that makes them from the address of Table[] and the services."""
    arrays = [
        types.Array(numba.from_dtype(dtype), 1, "C", readonly=True, aligned=dtype.isalignedstruct)
        for dtype in function.table_types.values()
    ]
    kind = types.NamedTuple([*arrays, types.uint64], tables_type(function))

    def typing(_context: Any, _address: Any, _services: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            entries = [
                builder.add(arguments[0], ir.Constant(ir.IntType(64), i * TABLE.itemsize)) for i in range(len(arrays))
            ]
            loaded = [_load_table(context, builder, *pair) for pair in zip(arrays, entries, strict=True)]
            return context.make_tuple(builder, kind, [*loaded, arguments[1]])

        return kind(types.uint64, types.uint64), generate

    return kind, intrinsic(typing)


def _classify_typing(_context: Any, _services: Any, packet: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(64), [ir.IntType(64), cgutils.voidptr_t])
        target = cgutils.get_or_insert_function(builder.module, kind, "snf_classify")
        return builder.call(target, [arguments[0], builder.bitcast(arguments[1], cgutils.voidptr_t)])

    return types.int64(types.uint64, packet), generate


def _dispatchers(functions: list[FunctionType]) -> dict[FunctionType, Any]:
    """Numba dispatchers of fresh copies whose globals lead to fresh copies. `functions`: helpers before users."""
    made: dict[Any, Any] = {classify: intrinsic(_classify_typing)}
    for function in functions:
        reads = function.__globals__.keys() & global_names(function.__code__).keys()
        values = {name: function.__globals__[name] for name in reads}
        linked = {name: made[value] if isinstance(value, FunctionType) else value for name, value in values.items()}
        linked["__name__"] = function.__module__
        copy = FunctionType(function.__code__, linked, function.__name__, function.__defaults__)
        copy.__kwdefaults__, copy.__qualname__ = function.__kwdefaults__, function.__qualname__
        made[function] = numba.njit(**_OPTIONS)(copy)
    return made


def _steps(function: type[Function], process: Any, lifetime: Any, tables_at: Any) -> dict[str, Callable[..., Any]]:
    """What burst.c calls for one job, by name: `process` on the working copy, and what it answers checked; lifetime."""
    job_at, packet_at, record_at = _record_at(JOB), _record_at(PACKET), _record_at(function.record)
    reasons = len(function.drop_reasons)

    def step(address: Any, table_address: Any, services: Any) -> int:
        job = job_at(address)
        verdict = process(packet_at(job.packet), record_at(job.after), tables_at(table_address, services))
        if verdict not in (FORWARD, PARK) and (verdict & 0xFF != DROP or not 0 <= verdict >> 8 <= reasons):
            raise ValueError("unknown verdict")
        job.verdict = verdict
        return 0

    def last(address: Any, table_address: Any, services: Any) -> int:
        job = job_at(address)
        milliseconds = lifetime(record_at(job.after), tables_at(table_address, services))
        if not 0 <= milliseconds <= MAX_LIFETIME:
            raise ValueError("impossible lifetime")
        job.lifetime = milliseconds
        return 0

    return {"snf_step": step, "snf_lifetime": last}


def _essence(error: NumbaError) -> tuple[str, str]:
    """What Numba has to say in one line, and where (file:line) as far as it knows."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    places = re.findall(r'File "([^"]+)", line (\d+)', text)
    lines = [line.strip(" >-") for line in text.splitlines()]
    useful = [line for line in lines if line and not line.startswith("Failed in nopython mode pipeline")]
    return useful[0][:300] if useful else type(error).__name__, ":".join(places[-1]) if places else ""


def _compile_one(function: FunctionType, dispatcher: Any, signature: tuple[Any, ...], result: str) -> None:
    try:
        dispatcher.compile(signature)
    except NumbaError as error:
        what, where = _essence(error)
        raise BuildError(f"{function.__qualname__} cannot be compiled: {what}", where or place(function)) from None
    except KeyError as error:  # how Numba answers a field that a record does not have
        raise BuildError(f"{function.__qualname__} uses a field {error} that does not exist", place(function)) from None
    _refuse_floats({function: dispatcher})
    kind = types.unliteral(dispatcher.overloads[signature].signature.return_type)
    if not isinstance(kind, types.Integer | types.IntEnumMember):
        raise BuildError(f"{function.__qualname__} must give {result} on every path, not {kind}", place(function))


def _refuse_allocation(dispatchers: dict[FunctionType, Any]) -> None:
    for function, dispatcher in dispatchers.items():
        for compiled in getattr(dispatcher, "overloads", {}).values():
            if re.search(r"call .*@NRT_(MemInfo_alloc|Allocate|MemInfo_new)", compiled.library.get_llvm_str()):
                problem = f"{function.__qualname__} makes an array, a list or a string, which costs too much per packet"
                raise BuildError(problem, place(function), "use fields of the record and numbers")


def _line_of(annotation: Any, variable: str) -> int:
    """Line of the first assignment to a variable of a compiled function; 0 if there is none."""
    statements = (statement for block in annotation.blocks.values() for statement in block.body)
    lines = [s.loc.line for s in statements if getattr(getattr(s, "target", None), "name", "") == variable]
    return min(lines, default=0)


def _refuse_floats(dispatchers: dict[FunctionType, Any]) -> None:
    """Where an unsigned and a signed 64-bit integer meet in one variable, Numba makes a float64 and loses bits."""
    for function, dispatcher in dispatchers.items():
        for compiled in getattr(dispatcher, "overloads", {}).values():
            annotation = compiled.type_annotation
            floats = [name for name, kind in annotation.typemap.items() if isinstance(kind, types.Float)]
            if floats:
                line = max(_line_of(annotation, name) for name in floats)
                where = f"{function.__code__.co_filename}:{line or function.__code__.co_firstlineno}"
                problem = f"{function.__qualname__} makes a float: a division by /, or an 8-byte field meets a constant"
                raise BuildError(problem, where, "use //; give the field as (field + 0)")


def _libraries(function: type[Function]) -> dict[str, tuple[str, str]]:
    """LLVM IR of what burst.c calls, and the name of its entry point in there, by the name that it has in C."""
    # Numba also links for itself, though nothing runs here: the name only has to be known.
    llvm.add_symbol("snf_classify", ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value)
    dispatchers = _dispatchers(reach_of(function).functions)
    kind, tables_at = _tables_at(function)
    packet, record = numba.from_dtype(PACKET), numba.from_dtype(function.record)
    process, lifetime = entries(function)
    _compile_one(process, dispatchers[process], (packet, record, kind), "a verdict")
    _compile_one(lifetime, dispatchers[lifetime], (record, kind), "milliseconds")
    _refuse_allocation(dispatchers)
    _refuse_floats(dispatchers)
    steps = _steps(function, dispatchers[process], dispatchers[lifetime], tables_at)
    return {name: _compiled(step) for name, step in steps.items()}


def _compiled(step: Callable[..., Any]) -> tuple[str, str]:
    dispatcher = numba.njit(**_OPTIONS)(step)
    signature = (types.uint64, types.uint64, types.uint64)
    dispatcher.compile(signature)
    compiled = dispatcher.overloads[signature]
    return compiled.library.get_llvm_str(), compiled.fndesc.llvm_func_name


def _module(name: str, text: str, entry: str) -> Any:
    """One library, everything internal but its entry point, which is called `name`."""
    module = llvm.parse_assembly(text)
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != entry:
            value.linkage = "internal"
    module.get_function(entry).name = name
    return module


def _emit(libraries: dict[str, tuple[str, str]]) -> bytes:
    """The object file."""
    llvm.initialize_native_asmprinter()
    module, *others = [_module(name, *library) for name, library in libraries.items()]
    for other in others:
        module.link_in(other)
    target = llvm.Target.from_triple(llvm.get_process_triple())
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    machine = target.create_target_machine(cpu=cpu, features=features, opt=3, reloc="pic", codemodel="small")
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    return bytes(machine.emit_object(module))


def _link(function: type[Function], emitted: bytes, output: Path) -> None:
    step = output.with_suffix(".o")
    step.write_bytes(emitted)
    fields: Any = PACKET.fields
    defines = {
        "SNF_ABI": FUNCTION_ABI,
        "SNF_RECORD_SIZE": function.record.itemsize,
        "SNF_EFFECT_COUNT": fields["effect_count"][1],
    }
    macros = [f"-D{name}={value}" for name, value in defines.items()]
    command: list[str | Path] = [*_CC, *macros, "-o", output, _STUB, step, *_LINK]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BuildError("no C compiler", "cc", "install one: apt-get install gcc libc6-dev") from None
    if missing := sorted(set(re.findall(r"undefined reference to `(\w+)'", done.stderr))):
        problem = f"uses something that needs a Python run-time ({', '.join(missing)})"
        raise BuildError(
            problem, place(entries(function)[0]), "no print, random numbers, strings or clock in `process`"
        )
    if done.returncode:
        raise BuildError(f"the linker failed: {done.stderr[-300:]}", str(output))


def compile_function(function: type[Function], output: Path) -> None:
    """Write the shared object that engine/function.hpp describes to `output`. Raises BuildError."""
    _link(function, _emit(_libraries(function)), output)
