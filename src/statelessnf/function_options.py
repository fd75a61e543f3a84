"""What a function's section of the deployment file may hold, told from its `Config`.

Kinds, limits and defaults come from the model's JSON schema, explanations from the comments behind the fields in the
source: what `snf functions` says is what the code does.
"""

from __future__ import annotations

import ast
import inspect
import io
import json
import textwrap
import tokenize
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel

Schema = dict[str, Any]

_FORMATS = {"ipv4": "address", "ipv6": "address", "ipv4network": "network", "ipv6network": "network"}
_FORMATS |= {"addresses": "address, range or network", "protocol": "name or number"}  # of our own fields


class Option(NamedTuple):
    """One key of the section; `rules[].action` stands in each table of the list `rules`."""

    key: str
    kind: str
    default: str  # as TOML writes it; empty: there is none
    required: bool
    words: str  # the comment behind the field


def options_of(config: type[BaseModel]) -> list[Option]:
    """All keys of a section, those of tables inside of it behind their own."""
    schema = config.model_json_schema()
    return list(_options(config, schema, schema.get("$defs", {}), ""))


def _options(model: type[BaseModel], schema: Schema, known: dict[str, Schema], prefix: str) -> Iterator[Option]:
    comments = comments_of(model)
    for name, entry in schema.get("properties", {}).items():
        inner = _model_in(model.model_fields[name].annotation)
        kind = kind_of(entry, known)
        default = "" if inner else _toml(entry.get("default"), kind)
        required = name in schema.get("required", ())
        words = comments.get(name) or (inspect.getdoc(inner) or "" if inner else "")
        yield Option(prefix + name, kind, default, required, " ".join(words.split()))
        if inner is not None:
            below = f"{prefix}{name}{'[]' if entry.get('type') == 'array' else ''}."
            yield from _options(inner, known[inner.__name__], known, below)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, alone or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in typing.get_args(annotation) if (model := _model_in(part))), None)


def kind_of(schema: Schema, known: dict[str, Schema]) -> str:
    """What a value is, in words: `integer 1 to 64`, `list of network`, `"tcp" or "udp"`."""
    if "$ref" in schema:
        schema = known[schema["$ref"].rpartition("/")[2]]
    if "enum" in schema or "const" in schema:
        return " or ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        kinds = [kind_of(choice, known) for choice in schema["anyOf"] if choice.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    return _plain_kind(schema, known)


def _plain_kind(schema: Schema, known: dict[str, Schema]) -> str:
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return "range"
        case "array":
            return f"list of {kind_of(schema.get('items', {}), known)}"
        case "object":
            return "table"
        case "integer":
            return "integer" + _limits(schema)
        case "boolean":
            return "true or false"
        case _:
            return _FORMATS.get(schema.get("format", ""), "text")


def _limits(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None or high is None:
        return "" if low is None else f" from {low}"
    return f" {low} to {high}"


def _toml(value: Any, kind: str) -> str:
    if kind == "range" and isinstance(value, list):
        value = "-".join(str(end) for end in value)
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def comments_of(model: type[BaseModel]) -> dict[str, str]:
    """The comment at the end of each field's line; nothing where the source is not at hand."""
    try:
        source = textwrap.dedent(inspect.getsource(model))
    except (OSError, TypeError):
        return {}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    at_line = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    (tree,) = ast.parse(source).body
    fields = [node for node in getattr(tree, "body", []) if isinstance(node, ast.AnnAssign)]
    names = {node.target.id: node.end_lineno for node in fields if isinstance(node.target, ast.Name)}
    return {name: at_line[line] for name, line in names.items() if line in at_line}
