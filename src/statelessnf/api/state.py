"""What a route is given of the app: the two contracts behind it.

The functions are coroutines because the framework calls plain ones in threads.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from statelessnf.errors import Refused
from statelessnf.orchestrator.face import Face
from statelessnf.records.records import Records


async def _face(request: Request) -> Face:
    face: Face = request.app.state.face
    return face


async def _records(request: Request) -> Records:
    records: Records | None = request.app.state.records
    if records is None:
        do = "give the deployment a store ([store] url) to see its state"
        raise Refused("instances of the baseline keep their records to themselves", do=do)
    return records


TheFace = Annotated[Face, Depends(_face)]
TheRecords = Annotated[Records, Depends(_records)]
