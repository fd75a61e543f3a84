"""A parameter that a resource does not have is refused: a misspelt filter would show more than was asked for."""

from __future__ import annotations

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from statelessnf.config_errors import nearest


def only_known(request: Request) -> None:
    """A dependency of every route. Raises RequestValidationError."""
    route = request.scope.get("route")
    known = [field.alias for field in route.dependant.query_params] if isinstance(route, APIRoute) else []
    for name in request.query_params:
        if name not in known:
            do = nearest(name, known, "parameters" if known else "") or "leave it out"
            error = ValueError(f"there is no parameter {name[:40]!r}; {do}")
            found = {"type": "value_error", "loc": ("query", name), "msg": str(error), "ctx": {"error": error}}
            raise RequestValidationError([found])
