"""Where a deployment's orchestrator listens, and the token that opens it: `orchestrator.json` in the run directory.

The orchestrator announces itself there as long as it runs, readable by its own user only; commands find it there. What
is left by one that was killed is replaced by the next.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from statelessnf.errors import ConfigError, NotRunning
from statelessnf.store.embedded import make_private

FILE = "orchestrator.json"
TOKEN_FILE = "token"
LOG = "orchestrator.log"  # of one in the background
ENDED = "this orchestrator has ended"  # the last line there, if it was told to end
TOKEN_BYTES = 32
MOST_BYTES = 4096  # of the file


class Access(BaseModel):
    """`api`: http://ADDRESS:PORT; `token`: printable ASCII, as a header can carry it (RFC 6750 §2.1)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    api: str = Field(pattern=r"^https?://[^\s/?#@]+$")
    token: str = Field(pattern=r"^[A-Za-z0-9._~+/=-]{16,256}$", repr=False)


def new_token() -> str:
    """One that nobody guesses: 256 random bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def standing_token(directory: Path) -> str:
    """The deployment's: made once, kept in `directory` (made if missing), so that programs may keep it, too.

    Raises ConfigError: the file is not for us to read, or holds no token.
    """
    make_private(directory)
    path = directory / TOKEN_FILE
    if not path.exists():
        _write_private(path, new_token() + "\n")
    try:
        return Access(api="http://token", token=path.read_text().strip()).token
    except (OSError, ValueError) as error:
        raise ConfigError("this is no token that we can use", str(path), "remove the file") from error


@contextmanager
def announced(directory: Path, access: Access) -> Iterator[Path]:
    """The file stands in the run directory while the context lasts.

    Raises StoreRefused for a directory that is open to other users, OSError.
    """
    make_private(directory)
    path = write_access(directory, access)
    try:
        yield path
    finally:
        with suppress(NotRunning, ConfigError):  # gone, or another orchestrator's by now
            if read_access(directory) == access:
                path.unlink(missing_ok=True)


def write_access(directory: Path, access: Access) -> Path:
    """Replaces the file, whole or not at all; no other user can read it at any time. Raises OSError."""
    return _write_private(directory / FILE, access.model_dump_json() + "\n")


def _write_private(path: Path, text: str) -> Path:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return fresh.replace(path)


def last_line(log: Path) -> str:
    """The last thing that the orchestrator said in its log, without what every command says first; "": nothing."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].removeprefix("snf: ") if lines else ""


def start_it(directory: Path) -> str:
    """What to do where none leads. One that stands by, as its store is away, or that could not start, has said why."""
    said = last_line(directory / LOG)
    return "start it: snf up" + ("" if not said or said.endswith(ENDED) else f"; the last one said: {said}")


def read_access(directory: Path) -> Access:
    """What stands in `directory`. Raises NotRunning: nothing does; ConfigError: not for us to read, or not readable."""
    path = directory / FILE
    try:
        with path.open("rb") as file:
            return Access.model_validate_json(file.read(MOST_BYTES))
    except FileNotFoundError as error:
        raise NotRunning("no orchestrator runs for this deployment", str(directory), start_it(directory)) from error
    except OSError as error:
        do = "run this as the user who runs the orchestrator"
        raise ConfigError(f"cannot read the orchestrator's address: {error.strerror}", str(path), do) from error
    except ValidationError as error:
        do = "start the orchestrator again: it writes the file"
        raise ConfigError("this is no orchestrator's address and token", str(path), do) from error
