"""The orchestrator's REST API as one app: what each resource does is in the other files; docs/api.md explains it.

Whatever a request brings, the answer is a document of the resource or a problem document; 500 means a fault of ours.
"""

from __future__ import annotations

import asyncio

from fastapi import Depends, FastAPI

from statelessnf.api import deployment, events, flows, instances, metrics
from statelessnf.api.answers import handle_errors
from statelessnf.api.guard import Guard
from statelessnf.api.metrics import EventCounts
from statelessnf.api.openapi import describe, problems
from statelessnf.api.queries import only_known
from statelessnf.errors import ConfigError
from statelessnf.orchestrator.face import Face
from statelessnf.records.records import Records

ABOUT = "One network function of any size: its deployment, instances, hosts, switch, events and state. See docs/api.md."


def make_app(face: Face, token: str, records: Records | None) -> FastAPI:
    """The app for one orchestrator; `records` is None where there is no store. Raises ConfigError: an empty token."""
    if not token:
        raise ConfigError("the API needs a token that is not empty", "token")
    app = FastAPI(
        title="StatelessNF orchestrator", description=ABOUT, docs_url=None, redoc_url=None,
        dependencies=[Depends(only_known)], responses=problems(401, 422, 500), redirect_slashes=False,
    )  # fmt: skip
    app.state.face, app.state.records = face, records
    app.state.ending, app.state.event_counts = asyncio.Event(), EventCounts()
    for part in (deployment, instances, events, flows, metrics):
        app.include_router(part.router)
    handle_errors(app)
    describe(app)
    app.add_middleware(Guard, token=token)
    return app
