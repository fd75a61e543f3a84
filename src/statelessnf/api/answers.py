"""Every error as a problem document (RFC 9457): ours, the framework's, and those that nobody foresaw.

Non-ASCII is escaped: a request may bring half of a surrogate pair, which no encoding can send back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from statelessnf.api.problems import INVALID, MEDIA_TYPE, Problem, plain_problem, problem_of
from statelessnf.config_errors import key_path
from statelessnf.errors import NotLeader, SnfError, StoreUnavailable, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 2000  # characters of a detail: it may quote the request
_HEADERS: dict[type[SnfError], dict[str, str]] = {
    Unauthorized: {"WWW-Authenticate": 'Bearer realm="statelessnf"'},
    StoreUnavailable: {"Retry-After": "1"},
    NotLeader: {"Retry-After": "1"},
}


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The response that carries the problem."""
    document = problem.model_dump() | {"detail": problem.detail[:LONGEST], "instance": quote(problem.instance)}
    content = json.dumps({name: value for name, value in document.items() if value != ""})
    return Response(content, problem.status, headers, MEDIA_TYPE)


def answer_error(error: SnfError, request: Request) -> Response:
    """The response to a request that an error ended."""
    return answer(problem_of(error, request.url.path), _HEADERS.get(type(error)))


def handle_errors(app: FastAPI) -> None:
    """Makes `app` answer all errors like this."""
    app.exception_handler(SnfError)(_ours)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(Exception)(_unforeseen)


async def _ours(request: Request, error: SnfError) -> Response:
    return answer_error(error, request)


async def _http(request: Request, error: HTTPException) -> Response:
    do = {404: "see docs/api.md for what there is", 405: "see the header Allow"}.get(error.status_code, "")
    return answer(plain_problem(error.status_code, error.detail, request.url.path, do), error.headers)


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    """400: no JSON; 415: a body of another kind; 422: what it says cannot be."""
    fault, path = error.errors()[0], request.url.path
    if fault["type"] == "json_invalid":
        return answer(plain_problem(400, f"not valid JSON: {fault['ctx']['error']}", path, "correct the body"))
    if fault["loc"] == ("body",) and "json" not in request.headers.get("content-type", "json"):
        return answer(plain_problem(415, "the body is not JSON", path, "send Content-Type: application/json"))
    what, do = fault["msg"], ""
    if fault["type"] == "value_error":  # one of our own
        what, _, do = str(fault["ctx"]["error"]).partition("; ")
    problem = Problem(type=INVALID, title="Invalid request", status=422, detail=what, instance=path, do=do)
    return answer(problem.model_copy(update={"where": key_path(fault["loc"])}))


async def _unforeseen(request: Request, _error: Exception) -> Response:
    """It is raised again behind this answer, so it is in the log."""
    do = "look at what the orchestrator prints, and report it"
    return answer(plain_problem(500, "internal error", request.url.path, do))
