"""`snf functions`: which network functions there are, and what can be said in the section of each."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from statelessnf.find import find_function
from statelessnf.function import Function
from statelessnf.function_options import Option, options_of
from statelessnf.functions import function_names


def functions(name: str | None, *, as_json: bool) -> None:
    """Lists all functions, or explains one. Raises ConfigError and FunctionError for one that there is not."""
    if name is None:
        _list([find_function(known) for known in function_names()], as_json)
    else:
        _explain(find_function(name), as_json)


def document(function: type[Function]) -> dict[str, Any]:
    """What is known of a function, for JSON."""
    return {
        "name": function.name,
        "about": about(function),
        "record_bytes": function.record.itemsize,
        "record": list(function.record.names or ()),
        "drop_reasons": list(function.drop_reasons),
        "events": list(function.events),
        "counters": function.counters,
        "options": [option._asdict() for option in options_of(function.Config)],
    }


def about(function: type[Function]) -> str:
    """The head of the function's file, or what its class says of itself where the file has none."""
    return inspect.getdoc(sys.modules[function.__module__]) or inspect.getdoc(function) or ""


def _list(found: list[type[Function]], as_json: bool) -> None:
    if as_json:
        print(json.dumps([document(function) for function in found]))
        return
    table = Table("function", "record", "what it is", box=None, pad_edge=False)
    for function in found:
        first = about(function).partition("\n")[0]
        table.add_row(f"[bold]{function.name}[/bold]", f"{function.record.itemsize} B", escape(first))
    console = Console(highlight=False)
    console.print(table)
    console.print("\nsnf functions NAME explains one: its options, drops and events.")


def _explain(function: type[Function], as_json: bool) -> None:
    if as_json:
        print(json.dumps(document(function)))
        return
    console = Console(highlight=False)
    console.print(f"[bold]{function.name}[/bold]: {escape(about(function))}\n")
    console.print(f"Record of {function.record.itemsize} bytes: {', '.join(function.record.names or ())}.")
    console.print(f"Drops under: {', '.join(function.drop_reasons) or 'no names of its own'}.")
    console.print(f"Events: {', '.join(function.events) or 'none'}. Counters: {function.counters or 'none'}.\n")
    console.print(_options_table(function.name, options_of(function.Config)))


def _options_table(section: str, options: list[Option]) -> Table:
    table = Table(f"key in \\[{section}]", "kind", "default", "", box=None, pad_edge=False)
    for option in options:
        default = "[bold]required[/bold]" if option.required else escape(option.default)
        table.add_row(escape(option.key), escape(option.kind), default, escape(option.words))
    return table
