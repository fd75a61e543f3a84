"""Turns what pydantic found into one line for the author of a deployment file: file, key path, reason, remedy."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from statelessnf.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)
TYPES = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list in [ ]",
    "tuple_type": "a list in [ ]",
    "dict_type": "a table",
    "model_type": "a table",
}


def validated(
    model: type[Model],
    data: object,
    path: Path,
    prefix: tuple[str, ...],
    extra: str = "",
    context: dict[str, Any] | None = None,
) -> Model:
    """`data` as a `model`; `prefix`: where it stands in the file `path`. Raises ConfigError, see `explain`."""
    try:
        return model.model_validate(data, context=context)
    except ValidationError as error:
        raise explain(error, model, path, prefix, extra) from error


def explain(
    error: ValidationError, model: type[BaseModel], path: Path, prefix: tuple[str, ...] = (), extra: str = ""
) -> ConfigError:
    """The first fault of `error`, and how many more there are.

    `prefix` is where `model` stands in the file, `extra` a key that is allowed beside the model's own.
    """
    faults = error.errors(include_url=False)
    fault = min(faults, key=lambda f: f["type"] != "extra_forbidden")  # a typo often causes a missing key, too
    what, do = _reason(fault, model, extra)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    key = key_path((*prefix, *fault["loc"]))
    return ConfigError(what + more, f"{path}: {key}" if key else str(path), do)


def key_path(parts: Iterable[int | str]) -> str:
    """`('firewall', 'rules', 1, 'action')` as `firewall.rules[1].action`."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _reason(fault: ErrorDetails, model: type[BaseModel], extra: str) -> tuple[str, str]:
    kind, context, value = fault["type"], fault.get("ctx", {}), fault["input"]
    if kind == "extra_forbidden":
        known = [*_fields(model, fault["loc"][:-1]), *([extra] if extra and len(fault["loc"]) == 1 else [])]
        return "unknown key", nearest(str(fault["loc"][-1]), known, "known keys")
    if kind == "missing":
        return "this key is required and missing", "add it"
    if kind == "literal_error":
        choices = _choices(context["expected"])
        return f"{_shown(value)} is none of {context['expected']}", nearest(str(value), choices, "")
    if kind == "value_error":
        what, _, do = str(context["error"]).partition("; ")
        return what, do
    if kind in TYPES:
        return f"{_shown(value)} should be {TYPES[kind]}", ""
    return f"{_shown(value)} is not accepted: {fault['msg'].replace('Input should', 'it should')}", ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _choices(expected: str) -> list[str]:
    return [part.strip("' ") for part in expected.replace(" or ", ", ").split(",")]


def nearest(given: str, known: list[str], otherwise: str) -> str:
    """What a misspelt name may have meant; all that there are behind the word `otherwise`, where none is near."""
    if near := difflib.get_close_matches(given, known, 1, 0.6):
        return f"did you mean {near[0]!r}?"
    return f"{otherwise}: {', '.join(known)}" if otherwise else ""


def _fields(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the model found by following `location` from `model`."""
    found = model
    for part in location:
        if isinstance(part, str) and part in found.model_fields:
            found = _inner_model(found.model_fields[part].annotation) or found
    return list(found.model_fields)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """The first model within `Model | None`, `list[Model]`, `Annotated[Model, ...]` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in typing.get_args(annotation):
        if found := _inner_model(argument):
            return found
    return None
