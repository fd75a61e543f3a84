"""The handle of an instance that is a process: what finds it again, and nothing else in its place."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from statelessnf.errors import DriverError
from statelessnf.orchestrator.drivers.driver import INSTANCE_NAME
from statelessnf.orchestrator.drivers.process_files import FOLDER
from statelessnf.processes import command_of, start_time


class Handle(BaseModel):
    """Number and start time of the process (proc(5), stat field 22), and where its files are."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    pid: int = Field(ge=2, lt=1 << 22)
    started: int
    folder: str


def parsed(name: str, handle: str) -> Handle:
    """Raises DriverError for anything that `start` has not returned."""
    try:
        known = Handle.model_validate_json(handle)
    except ValidationError as error:
        raise DriverError("this is no handle of a process", name, "forget the instance") from error
    folder = Path(known.folder)
    if re.fullmatch(INSTANCE_NAME, name) is None or not folder.is_absolute() or folder.name != FOLDER:
        raise DriverError("this handle names files that are not ours", f"{name}: {folder}", "forget the instance")
    return known


def search(name: str) -> Handle | None:
    """That of the process which was started as the instance of that name, whoever has started it."""
    for entry in Path("/proc").iterdir():
        words = command_of(int(entry.name)) if entry.name.isdigit() else []
        order = next((Path(word) for before, word in pairwise(words) if before == "--order"), None)
        if order is None or order.name != f"{name}.json" or order.parent.name != FOLDER:
            continue
        if (started := start_time(int(entry.name))) is not None:
            return Handle(pid=int(entry.name), started=started, folder=str(order.parent))
    return None


def find(handle: Handle, order: str) -> int | None:
    """A pidfd of the process if it lives and is the one: same number, same start, started with that order."""
    try:
        pidfd = os.pidfd_open(handle.pid)
    except ProcessLookupError:
        return None
    if start_time(handle.pid) == handle.started and order in command_of(handle.pid):
        return pidfd
    os.close(pidfd)
    return None
