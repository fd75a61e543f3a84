"""What every request passes before anything is done with it: the bearer token (RFC 6750), the size of its body.

Only `OPEN` is answered without the token. Tokens are compared in constant time. A body is read whole, up to the limit,
before the request goes on, so what reads it there meets no surprises.
"""

from __future__ import annotations

import hmac
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request

from statelessnf.api.answers import answer, answer_error
from statelessnf.api.problems import plain_problem
from statelessnf.errors import Unauthorized

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = ("/health",)
WHERE = "the token is in orchestrator.json in the deployment's run directory"
MOST_BODY = 4 << 20  # bytes; a deployment file with all the rules that a function takes has less than 1 MB


class Guard:
    """ASGI middleware in front of `app`; `token` is not empty, `do` says where it is."""

    def __init__(self, app: ASGIApp, token: str, do: str = WHERE) -> None:
        self._app, self._token = app, token.encode()
        self._do = f"send 'Authorization: Bearer TOKEN'; {do}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        else:
            with suppress(ClientDisconnect):  # while it sent the body
                await self._admit(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if scope["path"] not in OPEN and (error := self._unauthorized(scope)) is not None:
            await answer_error(error, request)(scope, receive, send)
        elif (body := await _body(request)) is None:
            problem = plain_problem(413, f"the body has more than {MOST_BODY} bytes", request.url.path)
            await answer(problem)(scope, receive, send)
        else:
            await self._app(scope, _replayed(body, receive), send)

    def _unauthorized(self, scope: Scope) -> Unauthorized | None:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return Unauthorized("the token is missing", do=self._do)
        scheme, _, token = given[0].partition(b" ")
        right = hmac.compare_digest(token.strip(), self._token)
        return None if right and scheme.lower() == b"bearer" else Unauthorized("the token is wrong", do=self._do)


async def _body(request: Request) -> bytes | None:
    """All of it; None: it is too large (what it says of itself is believed only if it says so)."""
    said = request.headers.get("content-length", "0")
    if said.isdecimal() and len(said) < 20 and int(said) > MOST_BODY:
        return None
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > MOST_BODY:
            return None
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """First the body, then whatever comes (that the client has gone)."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message
