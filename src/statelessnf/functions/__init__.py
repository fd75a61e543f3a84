"""The network functions that come with StatelessNF, one file each, and how one is found by its name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from statelessnf.errors import ConfigError
from statelessnf.function import Function


def function_names() -> list[str]:
    """Names of all functions of this package (their files' names)."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def function_class(name: str, where: str = "") -> type[Function]:
    """The class whose `name` is that of the module `statelessnf.functions.<name>`.

    Raises ConfigError, naming `where` and the nearest name, if there is none.
    """
    names = function_names()
    if name in names:
        module = importlib.import_module(f"{__name__}.{name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Function) and getattr(value, "name", None) == name:
                return value
    near = difflib.get_close_matches(name, names, 1)
    do = f"did you mean {near[0]!r}?" if near else f"functions are: {', '.join(names)}"
    raise ConfigError(f"there is no function {name!r}", f"{where}: function" if where else "function", do)
