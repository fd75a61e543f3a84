"""`snf agent`: the drivers of this host, for orchestrators elsewhere (drivers/wire.py has what is said).

Every request carries the token. The agent keeps nothing that matters: started anew, it adopts what orchestrators ask
for. Instances run on when it ends.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from statelessnf.errors import SnfError, Unauthorized
from statelessnf.orchestrator.drivers.driver import Driver
from statelessnf.orchestrator.drivers.wire import BEAT, CAPACITY, LAUNCH, MOST, Adopted, Adoption, Kind, News, Problem
from statelessnf.orchestrator.drivers.wire import Started
from statelessnf.orchestrator.tokens import allowed

REMEMBERED = 1000  # ends, for those who ask later
Make = Callable[[Kind, str], Driver]  # kind, image


class Desk:
    """One driver for one deployment, and whoever listens."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._ends: OrderedDict[str, str] = OrderedDict()
        self._listeners: set[asyncio.Queue[News]] = set()

    def ended(self, name: str, why: str) -> None:
        """See `Ended`."""
        self._ends[name] = why
        while len(self._ends) > REMEMBERED:
            self._ends.popitem(last=False)
        for queue in self._listeners:
            queue.put_nowait(News(name=name, why=why))

    async def adopt(self, name: str, handle: str) -> Adopted:
        """Raises DriverError."""
        alive = await self.driver.adopt(name, handle)
        return Adopted(alive=alive, why="" if alive else self._ends.get(name, "it ended while nobody watched"))

    async def news(self, ending: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Lines, until `ending`."""
        queue: asyncio.Queue[News] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            queue.put_nowait(News())
            while not ending():
                news = News()
                with suppress(TimeoutError):
                    news = await asyncio.wait_for(queue.get(), BEAT)
                yield news.model_dump_json().encode() + b"\n"
        finally:
            self._listeners.discard(queue)


class Desks:
    """All of them; one is made when it is first asked for."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._desks: dict[tuple[str, Kind, str], Desk] = {}

    async def get(self, deployment: str, kind: Kind, image: str = "") -> Desk:
        """Raises DriverError."""
        key = (deployment, kind, image)
        if key not in self._desks:
            desk = self._desks[key] = Desk(self._make(kind, image))
            await desk.driver.open(desk.ended)
        return self._desks[key]

    async def close(self) -> None:
        """Lets go of all; instances run on."""
        for desk in self._desks.values():
            await desk.driver.close()


def make_app(token: str, make: Make, ending: Callable[[], bool]) -> FastAPI:
    """The service. `ending`: whether streams are to end, as the server does."""
    desks = Desks(make)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await desks.close()

    def checked(request: Request) -> None:
        if not allowed(request.headers.get("Authorization", ""), token):
            raise Unauthorized("the token is missing or wrong", "Authorization", "give the host's token_file")

    app = FastAPI(title="snf agent", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(_routes(desks, ending), dependencies=[Depends(checked)])
    app.add_exception_handler(SnfError, _say)
    app.add_exception_handler(ValidationError, _say)
    app.add_exception_handler(HTTPException, _say)
    return app


def _routes(desks: Desks, ending: Callable[[], bool]) -> APIRouter:
    router = APIRouter(prefix="/v1/{deployment}/{kind}")
    desk = Depends(desks.get)

    @router.get("/capacity")
    async def capacity(desk: Desk = desk) -> Response:
        return Response(CAPACITY.dump_json(await desk.driver.capacity()), media_type="application/json")

    @router.post("/instances")
    async def start(request: Request, desk: Desk = desk) -> Started:
        launch = LAUNCH.validate_json(await _body(request))
        handle = await desk.driver.start(launch)
        if await request.is_disconnected():  # nobody will ever know that handle
            await desk.driver.kill(launch.order.name)
        return Started(handle=handle)

    @router.put("/instances/{name}")
    async def adopt(name: str, request: Request, desk: Desk = desk) -> Adopted:
        return await desk.adopt(name, Adoption.model_validate_json(await _body(request)).handle)

    @router.post("/instances/{name}/stop", status_code=204)
    async def stop(name: str, desk: Desk = desk) -> None:
        await desk.driver.stop(name)

    @router.post("/instances/{name}/kill", status_code=204)
    async def kill(name: str, desk: Desk = desk) -> None:
        await desk.driver.kill(name)

    @router.get("/events")
    async def events(desk: Desk = desk) -> StreamingResponse:
        return StreamingResponse(desk.news(ending), media_type="application/jsonl")

    return router


async def _body(request: Request) -> bytes:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > MOST:
            raise HTTPException(413, f"a message has at most {MOST} bytes")
    return content


async def _say(_: Request, error: Exception) -> Response:
    problem = _problem(error)
    return JSONResponse(problem.model_dump(), problem.status, media_type="application/problem+json")


def _problem(error: Exception) -> Problem:
    if isinstance(error, SnfError):
        status = 401 if isinstance(error, Unauthorized) else 409
        title = type(error).__name__
        return Problem(title=title, status=status, detail=error.line(), what=error.what, where=error.where, do=error.do)
    if isinstance(error, HTTPException):
        return Problem(title="HTTP", status=error.status_code, detail=str(error.detail))
    assert isinstance(error, ValidationError)
    fault = error.errors()[0]
    return Problem(title="Malformed", status=422, detail=f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}")
