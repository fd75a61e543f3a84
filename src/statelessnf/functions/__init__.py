"""The network functions that come with StatelessNF, one file each, and how one is found by its name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from statelessnf.errors import ConfigError
from statelessnf.function import Function


def _defined(name: str) -> type[Function] | None:
    """The class that the module `name` of this package defines under its own name."""
    module = importlib.import_module(f"{__name__}.{name}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Function) and getattr(value, "name", None) == name:
            return value
    return None


def _modules() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def function_names() -> list[str]:
    """Names of all functions of this package; imports them."""
    return [name for name in _modules() if _defined(name)]


def function_class(name: str) -> type[Function]:
    """The class whose `name` is that of the module `statelessnf.functions.<name>`.

    Raises ConfigError with the nearest name if there is none.
    """
    if name in _modules() and (found := _defined(name)):
        return found
    names = function_names()
    near = difflib.get_close_matches(name, names, 1)
    do = f"did you mean {near[0]!r}?" if near else f"functions are: {', '.join(names)}; your own: file.py:Class"
    raise ConfigError(f"there is no function {name!r}", "function", do)
