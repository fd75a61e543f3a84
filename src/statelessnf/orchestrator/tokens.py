"""Bearer tokens in files that nobody else can read: those of agents (RFC 6750)."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from statelessnf.errors import ConfigError

SHORTEST = 16
_MAKE = "make one: (umask 077; openssl rand -hex 32 > FILE)"


def read_token(path: Path) -> str:
    """The file's only line. Raises ConfigError: unreadable, open to others, or nothing that is hard to guess."""
    try:
        with path.open("rb") as file:
            status, content = os.fstat(file.fileno()), file.read(4096)
    except OSError as error:
        raise ConfigError(f"cannot read the token: {error.strerror}", str(path), _MAKE) from error
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError("others can read the token", str(path), "make another one, after: chmod 600 FILE")
    token = content.decode("ascii", errors="replace").strip()
    if re.fullmatch(rf"[A-Za-z0-9._~+/=-]{{{SHORTEST},}}", token) is None:
        raise ConfigError(f"this is no token of {SHORTEST} characters or more", str(path), _MAKE)
    return token
