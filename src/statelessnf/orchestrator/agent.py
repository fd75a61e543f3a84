"""`snf agent`: the drivers of this host, for orchestrators elsewhere (drivers/wire.py has what is said).

Every request carries the token. The agent keeps nothing that matters: started anew, it adopts what orchestrators ask
for. Instances run on when it ends.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import ValidationError

from statelessnf.api.answers import answer, handle_errors
from statelessnf.api.guard import Guard
from statelessnf.api.problems import plain_problem
from statelessnf.config_errors import key_path
from statelessnf.orchestrator.drivers.driver import Driver
from statelessnf.orchestrator.drivers.wire import BEAT, CAPACITY, LAUNCH, Adopted, Adoption, Kind, News, Started

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

    async def news(self, ending: asyncio.Event) -> AsyncIterator[bytes]:
        """Lines, until `ending`."""
        queue: asyncio.Queue[News] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield _line(News())
            while not ending.is_set():
                yield _line(await _next(queue, ending))
        finally:
            self._listeners.discard(queue)


def _line(news: News) -> bytes:
    return news.model_dump_json().encode() + b"\n"


async def _next(queue: asyncio.Queue[News], ending: asyncio.Event) -> News:
    """The next one; an empty one after a second without any, or when it ends."""
    getting, over = asyncio.ensure_future(queue.get()), asyncio.ensure_future(ending.wait())
    try:
        await asyncio.wait({getting, over}, timeout=BEAT, return_when=asyncio.FIRST_COMPLETED)
        return getting.result() if getting.done() else News()
    finally:
        getting.cancel()
        over.cancel()


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


def make_app(token: str, desks: Desks) -> FastAPI:
    """The service; who serves it closes `desks` in the end."""
    app = FastAPI(title="snf agent", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.ending = asyncio.Event()
    app.include_router(_routes(desks, app.state.ending))
    handle_errors(app)
    app.exception_handler(ValidationError)(_malformed)
    app.add_middleware(Guard, token=token, do="see token_file of this host in the deployment file")
    return app


def _routes(desks: Desks, ending: asyncio.Event) -> APIRouter:
    router = APIRouter(prefix="/v1/{deployment}/{kind}")
    desk = Depends(desks.get)

    @router.get("/capacity")
    async def capacity(desk: Desk = desk) -> Response:
        return Response(CAPACITY.dump_json(await desk.driver.capacity()), media_type="application/json")

    @router.post("/instances")
    async def start(request: Request, desk: Desk = desk) -> Started:
        launch = LAUNCH.validate_json(await request.body())
        handle = await desk.driver.start(launch)
        if await request.is_disconnected():  # nobody will ever know that handle
            await desk.driver.kill(launch.order.name)
        return Started(handle=handle)

    @router.put("/instances/{name}")
    async def adopt(name: str, request: Request, desk: Desk = desk) -> Adopted:
        return await desk.adopt(name, Adoption.model_validate_json(await request.body()).handle)

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


async def _malformed(request: Request, error: ValidationError) -> Response:
    fault = error.errors()[0]
    detail = f"{key_path(fault['loc'])}: {fault['msg']}"
    return answer(plain_problem(422, detail, request.url.path, "run the same release on all hosts"))
