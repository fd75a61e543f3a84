"""Which orchestrator a command means: by its deployment's file or name, on this machine, or by its address."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic import ValidationError

from statelessnf.api.access import FILE, Access, read_access, start_it
from statelessnf.config import NAME, read_document
from statelessnf.config_errors import nearest
from statelessnf.errors import ConfigError, NotRunning
from statelessnf.store.embedded import default_run_directory

TOKEN_VARIABLE = "SNF_TOKEN"


def find_access(deployment: str) -> Access:
    """By FILE.toml, by a deployment's name, or by http://ADDRESS:PORT with the token in SNF_TOKEN.

    Raises NotRunning and ConfigError. A file need not be a valid deployment: it may be under work.
    """
    if re.match(r"https?://", deployment):
        return _given(deployment)
    if deployment.endswith(".toml") or "/" in deployment:
        return read_access(_directory(Path(deployment)))
    if not re.fullmatch(NAME, deployment):
        raise ConfigError(f"{deployment!r} is no deployment", do="give its FILE.toml, its name, or http://ADDRESS:PORT")
    directory = default_run_directory(deployment)
    if not (directory / FILE).exists():
        known = sorted(path.parent.name for path in directory.parent.glob(f"*/{FILE}"))
        do = nearest(deployment, known, "running here") if known else start_it(directory)
        raise NotRunning(f"no orchestrator runs for deployment {deployment!r}", do=do)
    return read_access(directory)


def _given(api: str) -> Access:
    """An address, and the token of the environment. Raises ConfigError."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    try:
        return Access(api=api.rstrip("/"), token=token)
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("api",):
            raise ConfigError("this is no address of an orchestrator", api, "write http://ADDRESS:PORT") from error
        do = f"set it to the token in {FILE} in the deployment's run directory"
        raise ConfigError("the environment variable holds no token", TOKEN_VARIABLE, do) from error


def _directory(file: Path) -> Path:
    """The run directory that the file names, or by default has. Raises ConfigError."""
    document = read_document(file)
    name, instance = document.get("name"), document.get("instance")
    given = instance.get("run_directory") if isinstance(instance, dict) else None
    if isinstance(given, str):
        return Path(given)
    if isinstance(name, str) and re.fullmatch(NAME, name):
        return default_run_directory(name)
    raise ConfigError("the file names no deployment", f"{file}: name", 'add name = "…"')
