"""The API from the other side: commands ask the orchestrator here, and its problem documents become errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from statelessnf.api.access import Access
from statelessnf.api.find import find_access
from statelessnf.api.problems import MEDIA_TYPE, Problem, error_of
from statelessnf.errors import NotRunning, OrchestratorError

CONNECT = 3.0  # seconds
PATIENCE = 30.0  # for an answer
LONG = 300.0  # where instances are started or stopped before it comes
_ENDLESS = httpx.Timeout(None, connect=CONNECT)
_DO = "see what it prints, or start it again: snf up"

Document = TypeVar("Document", bound=BaseModel)


class Client:
    """One orchestrator. Every method raises NotRunning, or what the orchestrator says (see problems.TABLE)."""

    def __init__(self, access: Access) -> None:
        self.url = access.api
        headers = {"Authorization": f"Bearer {access.token}"}
        timeout = httpx.Timeout(PATIENCE, connect=CONNECT)
        secure = access.api.startswith("https:")  # certificates take 50 ms to load
        self._http = httpx.Client(base_url=access.api, headers=headers, timeout=timeout, trust_env=False, verify=secure)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, kind: type[Document], **query: Any) -> Document:
        """A document. What is None in the query is left out."""
        return self._document(self._ask("GET", path, params=_given(query)), kind)

    def send(self, method: str, path: str, kind: type[Document], body: object = None) -> Document:
        """The answer to a request that changes something."""
        return self._document(self._ask(method, path, json=body), kind)

    def order(self, method: str, path: str, patience: float = PATIENCE) -> None:
        """A request without body and answer."""
        self._ask(method, path, timeout=httpx.Timeout(patience, connect=CONNECT))

    def put_text(self, path: str, text: str, kind: type[Document]) -> Document:
        """The answer to a deployment file."""
        headers, timeout = {"Content-Type": "application/toml"}, httpx.Timeout(LONG, connect=CONNECT)
        return self._document(self._ask("PUT", path, content=text.encode(), headers=headers, timeout=timeout), kind)

    def lines(self, path: str, kind: type[Document], **query: Any) -> Iterator[Document]:
        """Documents of a stream, until the orchestrator ends it."""
        with _reached(self.url), self._http.stream("GET", path, params=_given(query), timeout=_ENDLESS) as response:
            if response.is_error:
                response.read()
                _check(response)
            for line in response.iter_lines():
                if line:
                    yield self._parsed(line, kind)

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        with _reached(self.url):
            response = self._http.request(method, path, **options)
        _check(response)
        return response

    def _document(self, response: httpx.Response, kind: type[Document]) -> Document:
        return self._parsed(response.content, kind)

    def _parsed(self, content: bytes | str, kind: type[Document]) -> Document:
        try:
            return kind.model_validate_json(content)
        except ValidationError as error:
            raise _stranger(self.url) from error


@contextmanager
def connected(deployment: str) -> Iterator[Client]:
    """A client for FILE.toml, a deployment's name, or http://ADDRESS:PORT. Raises ConfigError, NotRunning."""
    client = Client(find_access(deployment))
    try:
        yield client
    finally:
        client.close()


def _given(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


@contextmanager
def _reached(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise OrchestratorError("the orchestrator does not answer", url, _DO) from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise NotRunning("no orchestrator can be reached there", url, _DO) from error


def _check(response: httpx.Response) -> None:
    """Raises what the answer says is wrong."""
    if response.is_success:
        return
    if response.headers.get("content-type", "").partition(";")[0] != MEDIA_TYPE:
        raise _stranger(str(response.url))
    try:
        raise error_of(Problem.model_validate_json(response.content))
    except ValidationError as error:
        raise _stranger(str(response.url)) from error


def _stranger(url: str) -> OrchestratorError:
    what = "what answers there is no orchestrator, or one of another release"
    return OrchestratorError(what, url, "check the address, and that both are of the same release")
