"""What an operator does to a running deployment: `snf scale`, `snf drain`, `snf kill`, `snf down`."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from urllib.parse import quote

from statelessnf.api.client import LONG, Client, connected
from statelessnf.api.documents import HealthDocument
from statelessnf.commands.output import line, show
from statelessnf.errors import SnfError
from statelessnf.orchestrator.face import DeploymentDocument, InstanceDocument

ENDING = 10.0  # seconds that an orchestrator takes to end, at most
PAUSE = 0.02


def scale(deployment: str, size: int | None, *, as_json: bool) -> None:
    """This many instances; None: scaling decides. Raises SnfError, Refused outside of minimum and maximum."""
    with connected(deployment) as client:
        found = client.send("PUT", "/size", DeploymentDocument, {"size": size})
    by = "scaling decides" if found.scaling else "by order"
    _tell(as_json, found.model_dump_json(), f"{found.name}: {found.size} instances wanted, {by}")


def drain(deployment: str, name: str, drained: bool, *, as_json: bool) -> None:
    """No traffic for the instance any more, or again. Raises SnfError, NotFound with a suggestion."""
    with connected(deployment) as client:
        found = client.send("POST", f"/instances/{_path(name)}/drain", InstanceDocument, {"drained": drained})
    text = "gets no more traffic" if found.drained else "may have traffic again"
    _tell(as_json, found.model_dump_json(), f"{found.name} {text}")


def kill(deployment: str, name: str, *, as_json: bool) -> None:
    """SIGKILL to an instance. Raises SnfError, NotFound with a suggestion."""
    with connected(deployment) as client:
        client.order("POST", f"/instances/{_path(name)}/kill")
    _tell(as_json, json.dumps({"killed": name}), f"{name} is killed; see what happens: snf events {deployment}")


def down(deployment: str, *, as_json: bool) -> None:
    """Stops all of it, and waits until that is done. Raises SnfError."""
    with connected(deployment) as client:
        name = client.get("/deployment", DeploymentDocument).name
        client.order("DELETE", "/deployment", LONG)
        _wait_ended(client)
    _tell(as_json, json.dumps({"down": name}), f"{name} is down")


def _wait_ended(client: Client) -> None:
    """Until the orchestrator itself has ended, so that the next one may be started."""
    deadline = time.monotonic() + ENDING
    with suppress(SnfError):
        while time.monotonic() < deadline:
            client.get("/health", HealthDocument)
            time.sleep(PAUSE)


def _path(name: str) -> str:
    """As one part of a path."""
    return quote(name, safe="")


def _tell(as_json: bool, document: str, text: str) -> None:
    if as_json:
        print(document)
    else:
        show(line(text))
