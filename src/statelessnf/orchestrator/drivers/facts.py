"""What a driver needs to know of a deployment file's text; the network function that it names is not loaded.

An agent gets such texts from afar, so nothing is believed: name and path are checked here, once.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from statelessnf.errors import DriverError
from statelessnf.store.embedded import default_run_directory


class _Instance(BaseModel):
    run_directory: Path | None = None


class _Store(BaseModel):
    url: str = "embedded"


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")
    instance: _Instance = Field(default_factory=_Instance)
    store: _Store = Field(default_factory=_Store)


class Facts(BaseModel):
    """Name of the deployment, where its instances keep sockets, locks and logs, and whether their store is there."""

    model_config = ConfigDict(frozen=True)
    name: str
    run_directory: Path  # absolute
    embedded: bool


def facts_of(document: str) -> Facts:
    """Raises DriverError for a text that is no deployment file."""
    try:
        found = _Document.model_validate(tomllib.loads(document))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        what = str(error).splitlines()[-1].strip()
        raise DriverError(f"no deployment file: {what}", "text of the deployment", "check it with snf check") from error
    directory = found.instance.run_directory or default_run_directory(found.name)
    return Facts(name=found.name, run_directory=directory.absolute(), embedded=found.store.url == "embedded")
