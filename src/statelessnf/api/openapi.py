"""The OpenAPI document as it is told to clients: errors are problem documents, and the token is a security scheme."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from statelessnf.api.problems import MEDIA_TYPE, Problem

ERRORS = {
    400: "The body cannot be read",
    401: "The token is missing or wrong",
    404: "There is no such thing",
    409: "It cannot be done as things are",
    413: "The body is too large",
    415: "The body is of another kind",
    421: "Another orchestrator leads: `where` says which",
    422: "The request, or the deployment file, says what cannot be",
    500: "A fault of the orchestrator's own",
    502: "A host, the switch or the store refused",
    503: "The store cannot be reached",
}
_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_NOT_OURS = ("HTTPValidationError", "ValidationError")  # the framework's own form of an error, which is never sent


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a resource, beside those that any has, for its route."""
    return {status: {"description": ERRORS[status]} for status in statuses}


def describe(app: FastAPI) -> None:
    """Makes `app` tell the document like this."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(made())
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the framework's documented way


def _complete(document: dict[str, Any]) -> None:
    components = document["components"]
    components["schemas"] = {k: v for k, v in components["schemas"].items() if k not in _NOT_OURS}
    components["schemas"]["Problem"] = Problem.model_json_schema()
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    for operation in (found for path in document["paths"].values() for found in path.values()):
        for status, response in operation["responses"].items():
            if int(status) in ERRORS:
                response.update(description=ERRORS[int(status)], content=_CONTENT)
