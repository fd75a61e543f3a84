"""Problem documents (RFC 9457), and the one table that says which error is which status.

The server makes them of errors, the client errors of them: what the orchestrator raises is what the command prints.
Nothing here needs the web framework.
"""

from __future__ import annotations

from http import HTTPStatus

from pydantic import BaseModel

from statelessnf import errors
from statelessnf.errors import SnfError

MEDIA_TYPE = "application/problem+json"
INVALID = "/problems/invalid-request"

# The first class that an error is an instance of decides. What is not listed, is none of the client's doing: 500.
TABLE: tuple[tuple[type[SnfError], int, str], ...] = (
    (errors.Unauthorized, HTTPStatus.UNAUTHORIZED, "unauthorized"),
    (errors.NotFound, HTTPStatus.NOT_FOUND, "not-found"),
    (errors.Refused, HTTPStatus.CONFLICT, "refused"),
    (errors.NotLeader, HTTPStatus.MISDIRECTED_REQUEST, "not-leader"),
    (errors.ConfigError, HTTPStatus.UNPROCESSABLE_ENTITY, "config-error"),
    (errors.BuildError, HTTPStatus.UNPROCESSABLE_ENTITY, "build-error"),
    (errors.FunctionError, HTTPStatus.UNPROCESSABLE_ENTITY, "function-error"),
    (errors.StoreUnavailable, HTTPStatus.SERVICE_UNAVAILABLE, "store-unavailable"),
    (errors.StoreError, HTTPStatus.BAD_GATEWAY, "store-error"),
    (errors.InstanceError, HTTPStatus.BAD_GATEWAY, "instance-error"),
    (errors.DriverError, HTTPStatus.BAD_GATEWAY, "driver-error"),
    (errors.SteeringError, HTTPStatus.BAD_GATEWAY, "steering-error"),
    (SnfError, HTTPStatus.INTERNAL_SERVER_ERROR, "error"),
)


class Problem(BaseModel):
    """`where` and `do` are ours: a file, key or address, and what to try next. `instance`: the path of the request."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    where: str = ""
    do: str = ""


def problem_of(error: SnfError, instance: str) -> Problem:
    """What the server says of an error."""
    status, word = next((status, word) for kind, status, word in TABLE if isinstance(error, kind))
    title = word.replace("-", " ").capitalize()
    return Problem(
        type=f"/problems/{word}", title=title, status=status, detail=error.what, instance=instance,
        where=error.where, do=error.do,
    )  # fmt: skip


def plain_problem(status: int, detail: str, instance: str, do: str = "") -> Problem:
    """One that says no more than its status (RFC 9457 §4.2.1)."""
    title = HTTPStatus(status).phrase
    return Problem(type="about:blank", title=title, status=status, detail=detail or title, instance=instance, do=do)


def error_of(problem: Problem) -> SnfError:
    """The error that the problem was made of, as far as it is told."""
    kinds = {f"/problems/{word}": kind for kind, _, word in TABLE}
    return kinds.get(problem.type, errors.OrchestratorError)(problem.detail, problem.where, problem.do)
