"""Finds network functions by name, without a registry: `firewall`, `package.module:Class`, `path/to/file.py:Class`."""

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from statelessnf.errors import FunctionError
from statelessnf.function import Function
from statelessnf.functions import function_class

_DO = "use module:Class or path/to/file.py:Class"
_FILE_PREFIX = "statelessnf_file_"


def _load_file(path: Path) -> ModuleType:
    """The module in `path`, loaded once; its folder is searched for its imports, as for a script."""
    path = path.resolve()
    name = f"{_FILE_PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise FunctionError("no such Python file", str(path), _DO)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _load(source: str) -> ModuleType:
    try:
        return _load_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except FunctionError:
        raise
    except ModuleNotFoundError as error:
        raise FunctionError(f"no module '{error.name}'", source, _DO) from None
    except Exception as error:  # a user's file: anything may be wrong with it
        raise FunctionError(f"cannot be loaded: {type(error).__name__}: {error}", source) from error


def _is_function(value: Any) -> TypeGuard[type[Function]]:
    return isinstance(value, type) and issubclass(value, Function) and value is not Function


def find_function(reference: str) -> type[Function]:
    """The function class that `reference` names. Raises FunctionError, and ConfigError for an unknown plain name."""
    source, _, name = reference.rpartition(":")
    if source:
        found = getattr(_load(source), name, None)
        if _is_function(found):
            return found
        raise FunctionError(f"no Function class '{name}'", source, _DO)
    return function_class(reference)


def reference_of(function: type[Function]) -> str:
    """A reference by which another process finds `function`. Raises FunctionError for a class inside a function."""
    if "<locals>" in function.__qualname__ or "." in function.__qualname__:
        raise FunctionError("must be defined at the top of a module", function.__qualname__)
    module = sys.modules[function.__module__]
    if module.__name__ == "__main__" or module.__name__.startswith(_FILE_PREFIX):
        return f"{Path(str(module.__file__)).resolve()}:{function.__name__}"
    return f"{module.__name__}:{function.__name__}"
