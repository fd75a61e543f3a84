"""Everything that a network function's compiled code is made of: the Python functions and constants that it reaches.

Walks the names that `process` and `lifetime` use, through helpers in any module. What may be reached is what the
builder can both compile and put into its key: functions, integers and other plain constants, IntEnums, `numpy` and
`math`. Anything else is refused here (`BuildError` with file and line), before Numba is asked.
"""

import builtins
import dis
import enum
import math
from dataclasses import dataclass, field
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from statelessnf.errors import BuildError
from statelessnf.function import Function, classify

_USABLE = "use functions, numbers, tuples of numbers, IntEnums, numpy and math; arrays belong into tables()"


@dataclass
class Reach:
    """`functions`: helpers before their users. `constants`: what a name in a module stands for, spelled out."""

    functions: list[FunctionType] = field(default_factory=list)
    constants: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """Source files of all functions, sorted."""
        return sorted({function.__code__.co_filename for function in self.functions})


def place(function: FunctionType) -> str:
    """`file:line` of a function."""
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"


def global_names(code: CodeType) -> dict[str, int]:
    """Global names that `code` and the functions defined inside of it read, with the line of the first use."""
    names: dict[str, int] = {}
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        line = instruction.starts_line or line
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names.setdefault(instruction.argval, line)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names = global_names(constant) | names
    return names


def _is_number(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_number(element) for element in value)
    return isinstance(value, bool | int | float | np.number | np.bool_)


def constant_text(value: Any) -> str | None:
    """A constant that compiled code may use, spelled out; None for anything else."""
    if isinstance(value, type) and issubclass(value, enum.IntEnum):
        return repr([(member.name, int(member)) for member in value])
    if isinstance(value, ModuleType):
        return value.__name__ if value in (np, math) else None
    if isinstance(value, type) and (value in vars(builtins).values() or issubclass(value, np.generic)):
        return value.__name__
    if isinstance(value, BuiltinFunctionType) and value.__module__ in ("math", "builtins"):
        return value.__name__
    return f"{type(value).__name__} {value!r}" if _is_number(value) else None


def _refusal(name: str, value: Any) -> str:
    if isinstance(value, ModuleType):
        return f"uses the module '{name}'; import the function by its own name: from {value.__name__} import ..."
    if isinstance(value, type):
        return f"uses the class '{name}'; move what it needs (helpers, constants) to the top of the file"
    return f"uses '{name}', a {type(value).__name__}; {_USABLE}"


def _check(function: FunctionType, reach: Reach) -> None:
    if function.__closure__:
        names = ", ".join(function.__code__.co_freevars)
        raise BuildError(f"{function.__qualname__} uses variables of a surrounding function: {names}", place(function))
    for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        if not _is_number(default):
            raise BuildError(f"{function.__qualname__} has a default that is no number", place(function))
    defaults = (function.__defaults__, function.__kwdefaults__)
    reach.constants[f"{function.__module__}.{function.__qualname__}()"] = repr(defaults)


def _visit(function: FunctionType, reach: Reach, path: tuple[FunctionType, ...]) -> None:
    if function in path:
        raise BuildError(f"{function.__qualname__} calls itself; use a bounded loop", place(function))
    if function in reach.functions:
        return
    _check(function, reach)
    for name, line in sorted(global_names(function.__code__).items()):
        where = f"{function.__code__.co_filename}:{line}"
        if name not in function.__globals__ and not hasattr(builtins, name):
            raise BuildError(f"'{name}' is not defined", where)
        value = function.__globals__.get(name, getattr(builtins, name, None))
        if value is classify:
            reach.constants[f"{function.__module__}.{name}"] = "classify"
        elif isinstance(value, FunctionType):
            _visit(value, reach, (*path, function))
        elif name in function.__globals__:
            text = constant_text(value)
            if text is None:
                raise BuildError(_refusal(name, value), where)
            reach.constants[f"{function.__module__}.{name}"] = text
    reach.functions.append(function)


def entries(function: type[Function]) -> tuple[FunctionType, FunctionType]:
    """`process` and `lifetime`. Raises BuildError if one of them is no plain Python function."""
    process, lifetime = function.process, function.lifetime
    if isinstance(process, FunctionType) and isinstance(lifetime, FunctionType):
        return process, lifetime
    raise BuildError(f"{function.__qualname__}.process and lifetime must be plain functions")


def reach_of(function: type[Function]) -> Reach:
    """What `function.process` and `function.lifetime` reach. Raises BuildError for what cannot be compiled."""
    reach = Reach()
    for entry in entries(function):
        _visit(entry, reach, ())
    return reach
