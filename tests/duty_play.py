"""An instance as its duties see it, without an engine: it keeps what they told it. And a store that several share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from service_worlds import DEPLOYMENT
from statelessnf.config import Deployment, parse
from statelessnf.duties.backing import Backing, backing
from statelessnf.duties.duty import Duty
from statelessnf.store.memory_services import MemoryServices
from statelessnf.store.url import StoreUrl, unix_url
from statelessnf.store.values import MemoryValues

Open = Callable[[bytes], Backing]


class Told:
    """A Host. `found`: every call of `inform`; `said`, `documents`, `figures`: the rest."""

    def __init__(self, function: str, section: dict[str, Any], store: str = "memory") -> None:
        self.deployment: Deployment = parse(
            {"name": "told", "function": function, "store": {"url": store}, function: section}, Path("told.toml")
        )
        self.settings: BaseModel = self.deployment.settings
        self.found: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.documents: list[dict[str, Any]] = []
        self.figures: dict[str, object] = {}
        self.records = 0

    def inform(self, **found: Any) -> None:
        self.found.append(found)

    def stats(self) -> dict[str, Any]:
        return {"records": self.records}

    def show(self, name: str, value: object) -> None:
        self.figures[name] = value

    def tell(self, document: dict[str, Any]) -> None:
        self.documents.append(document)

    def say(self, text: str) -> None:
        self.said.append(text)


@contextmanager
def shared_store(socket: Path | None) -> Iterator[Open]:
    """Opens the deployment's store for an instance more, by service: a real one, or (None) one within the process."""
    services: dict[bytes, MemoryServices] = {}
    values = MemoryValues()
    with ExitStack() as stack:

        def open_store(name: bytes) -> Backing:
            if socket is None:
                return Backing(services.setdefault(name, MemoryServices()), values, lambda: None)
            opened = backing(url_of(socket), DEPLOYMENT, name)
            stack.callback(opened.close)
            return opened

        yield open_store


def url_of(socket: Path) -> StoreUrl:
    return unix_url(str(socket))


def looks(*duties: Duty) -> None:
    """One look of each."""
    for duty in duties:
        duty.look()
