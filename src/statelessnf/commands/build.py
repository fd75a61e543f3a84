"""`snf build`: compiles network functions ahead of the instances' start."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from rich.console import Console

from statelessnf.builder import build as build_function
from statelessnf.find import find_function
from statelessnf.functions import function_names


def build(references: Sequence[str], *, as_json: bool) -> None:
    """Builds the functions that `references` name, all of the package if empty. Raises BuildError, FunctionError."""
    for reference in references or function_names():
        function, began = find_function(reference), time.monotonic()
        path = build_function(function)
        seconds = round(time.monotonic() - began, 3)
        if as_json:
            print(json.dumps({"function": function.name, "object": str(path), "seconds": seconds}))
        else:
            Console(highlight=False, soft_wrap=True).print(f"{function.name}: {path} ({seconds:.1f} s)")
