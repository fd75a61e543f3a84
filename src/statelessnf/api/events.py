"""The log of events: what there is, and with `follow=true` a stream of JSON lines that goes on as events happen.

A stream ends when its client goes or the server stops. An empty line is sent when nothing happened for some seconds,
so a client that is gone for good is noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from statelessnf.api.documents import EventsDocument
from statelessnf.api.openapi import problems
from statelessnf.api.state import TheFace
from statelessnf.orchestrator.face import EventDocument

MOST_NUMBER = 2**63 - 1
router = APIRouter(tags=["events"])
LINES = "application/x-ndjson"
QUIET = 15.0  # seconds between two empty lines

After = Annotated[int, Query(ge=0, le=MOST_NUMBER, description="Only events with higher numbers.")]
Most = Annotated[int, Query(ge=1, le=1000, description="At most so many, the oldest; for a stream without meaning.")]
Follow = Annotated[bool, Query(description="One JSON document a line, and further ones as they happen.")]
_STREAM = {"content": {LINES: {"schema": {"type": "string"}}}}


@router.get("/events", response_model=EventsDocument, responses={200: _STREAM, **problems(422)})
async def get_events(
    request: Request, face: TheFace, after: After = 0, most: Most = 1000, follow: Follow = False
) -> EventsDocument | StreamingResponse:
    """What happened: numbered from 1, oldest first."""
    if follow:
        return StreamingResponse(_lines(face.follow(after), request.app.state.ending), media_type=LINES)
    events = list(face.events(after, most))
    return EventsDocument(events=events, last=events[-1].number if events else after)


async def _lines(events: AsyncIterator[EventDocument], ending: asyncio.Event) -> AsyncIterator[str]:
    """A line for each, until there are no more or the server ends."""
    end = asyncio.ensure_future(ending.wait())
    following = _next(events)
    try:
        while not end.done():
            await asyncio.wait((following, end), timeout=QUIET, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                if (event := following.result()) is None:
                    return
                yield event.model_dump_json() + "\n"
                following = _next(events)
            elif not end.done():
                yield "\n"
    finally:
        end.cancel()
        following.cancel()
        await asyncio.gather(end, following, return_exceptions=True)
        if isinstance(events, AsyncGenerator):
            await events.aclose()


def _next(events: AsyncIterator[EventDocument]) -> asyncio.Task[EventDocument | None]:
    async def step() -> EventDocument | None:
        return await anext(events, None)

    return asyncio.create_task(step())
