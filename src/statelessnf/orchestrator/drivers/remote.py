"""Instances on another host, by its `snf agent` (wire.py).

A connection for events is always open, or being opened: `reachable` says which. A start whose answer is lost is undone
as soon as the agent can be told.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from statelessnf.api.problems import Problem
from statelessnf.errors import ConfigError, DriverError
from statelessnf.orchestrator.drivers.driver import Capacity, Doomed, Ended, IsKnown, Launch
from statelessnf.orchestrator.drivers.threads import Tasks
from statelessnf.orchestrator.drivers.wire import (
    CAPACITY,
    LAUNCH,
    LONGEST,
    SILENCE,
    Adopted,
    Adoption,
    Kind,
    News,
    Started,
)

AGAIN = 0.2  # seconds between two attempts to connect
TIMEOUT = 30.0  # seconds for an answer
Answer = TypeVar("Answer", bound=BaseModel)


class RemoteDriver:
    """See `Driver`. `authority`: certificates that the agent's is checked by (PEM); None: the system's.

    Raises ConfigError for an address that would send the token in the clear, and for certificates that are none.
    """

    def __init__(
        self, address: str, token: str, deployment: str, kind: Kind, image: str = "", authority: Path | None = None
    ) -> None:
        _check(address)
        self._address, self._image = address, image
        base = f"{address.rstrip('/')}/v1/{quote(deployment)}/{kind}/"
        headers = {"Authorization": f"Bearer {token}"}
        verify = _certificates(authority)
        self._client = httpx.AsyncClient(
            base_url=base, headers=headers, timeout=TIMEOUT, verify=verify, trust_env=False, params={"image": image}
        )
        self._handles: dict[str, str] = {}
        self._tasks = Tasks()
        self._reachable = False

    async def open(self, ended: Ended) -> None:
        """See `Driver`."""
        self._ended = ended
        self._tasks.begin(self._listen())

    @property
    def reachable(self) -> bool:
        """See `Driver`."""
        return self._reachable

    async def capacity(self) -> Capacity:
        """See `Driver`."""
        content = await self._ask("GET", "capacity")
        try:
            return CAPACITY.validate_json(content)
        except ValidationError as error:
            raise self._odd(error) from error

    async def start(self, launch: Launch) -> str:
        """See `Driver`."""
        name = launch.order.name
        try:
            content = await self._ask("POST", "instances", LAUNCH.dump_json(launch))
        except (_AnswerLostError, asyncio.CancelledError):
            self._tasks.begin(self.kill(name))
            raise
        self._handles[name] = self._read(Started, content).handle
        return self._handles[name]

    async def adopt(self, name: str, handle: str) -> bool:
        """See `Driver`."""
        adopted = await self._adopt(name, handle)
        if adopted.alive:
            self._handles[name] = handle
        return adopted.alive

    def watch_pipes(self, name: str, doomed: Doomed) -> None:
        """See `Driver`. The host's agent tells only of instances that have ended: beats are sooner."""

    async def sweep(self, document: str, known: IsKnown) -> Sequence[str]:
        """See `Driver`. None: agents are not asked for what nobody here knows."""
        return ()

    async def stop(self, name: str) -> None:
        """See `Driver`."""
        await self._ask("POST", f"instances/{quote(name, safe='')}/stop")

    async def kill(self, name: str) -> None:
        """See `Driver`."""
        await self._ask("POST", f"instances/{quote(name, safe='')}/kill")

    async def close(self) -> None:
        """See `Driver`."""
        await self._tasks.close()
        await self._client.aclose()

    async def _adopt(self, name: str, handle: str) -> Adopted:
        words = Adoption(handle=handle).model_dump_json().encode()
        return self._read(Adopted, await self._ask("PUT", f"instances/{quote(name, safe='')}", words))

    async def _listen(self) -> None:
        while True:
            with suppress(httpx.HTTPError, DriverError):
                async with self._client.stream("GET", "events", timeout=SILENCE) as response:
                    await self._checked(response)
                    await self._follow(response)
            self._reachable = False
            await asyncio.sleep(AGAIN)

    async def _follow(self, response: httpx.Response) -> None:
        async for line in _lines(response):
            news = self._read(News, line)
            if news.name:
                self._tell(news.name, news.why)
            elif not self._reachable:
                self._reachable = True
                self._tasks.begin(self._look())

    async def _look(self) -> None:
        """After those that may have ended while nobody listened."""
        for name, handle in list(self._handles.items()):
            adopted = await self._adopt(name, handle)
            if not adopted.alive:
                self._tell(name, adopted.why)

    def _tell(self, name: str, why: str) -> None:
        if self._handles.pop(name, None) is not None:
            self._ended(name, why)

    async def _ask(self, method: str, path: str, content: bytes = b"") -> bytes:
        try:
            response = await self._client.request(method, path, content=content)
        except httpx.HTTPError as error:
            what = f"the agent does not answer ({type(error).__name__}: {error})"
            raise _AnswerLostError(what, self._address, "see that snf agent runs there") from error
        await self._checked(response)
        return response.content

    async def _checked(self, response: httpx.Response) -> None:
        """Raises DriverError as the agent has said it."""
        if response.is_success:
            return
        content = await response.aread()
        try:
            problem = Problem.model_validate_json(content)
        except ValidationError:
            what = f"something answers with status {response.status_code}, and it is no snf agent"
            raise DriverError(what, self._address, "correct the host's address") from None
        raise DriverError(problem.detail, f"{self._address}: {problem.where}".rstrip(": "), problem.do)

    def _read(self, model: type[Answer], content: bytes) -> Answer:
        try:
            return model.model_validate_json(content)
        except ValidationError as error:
            raise self._odd(error) from error

    def _odd(self, error: ValidationError) -> DriverError:
        what = f"the agent's answer makes no sense: {error.errors()[0]['msg']}"
        return DriverError(what, self._address, "run the same release on all hosts")


class _AnswerLostError(DriverError):
    """Nobody knows whether the agent has done it."""


async def _lines(response: httpx.Response) -> AsyncIterator[bytes]:
    rest = b""
    async for part in response.aiter_bytes():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > LONGEST:
            return


def _check(address: str) -> None:
    url = httpx.URL(address)
    try:
        here = url.host == "localhost" or ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        here = False
    if url.scheme != "https" and not (url.scheme == "http" and here):
        raise ConfigError("an agent elsewhere is spoken to over https only", address, "write https://HOST:PORT")


def _certificates(authority: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if authority is None else str(authority))
    except OSError as error:
        what = f"cannot read certificates: {error.strerror or error}"
        raise ConfigError(what, str(authority), "give a file in PEM format") from error
