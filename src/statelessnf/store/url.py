"""Store addresses, as a deployment file gives them.

    memory                              records in the instance's own memory: the baseline
    embedded                            one server per deployment and machine, started by the first instance
    unix:///PATH[?db=N]                 a running server's socket
    valkey://[[USER]:PASSWORD@]HOST[:PORT][/N]   a running server; user and password percent-encoded, IPv6 in [ ]

Parsing is pure: nothing is looked up and nothing is connected to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from statelessnf.errors import ConfigError

DEFAULT_PORT = 6379
LONGEST_SOCKET_PATH = 107  # bytes; sockaddr_un
FORMS = "write 'embedded', 'memory', 'unix:///PATH' or 'valkey://USER:PASSWORD@HOST:PORT'"

Kind = Literal["memory", "embedded", "unix", "valkey"]


@dataclass(frozen=True)
class StoreUrl:
    """A store address taken apart; `path` for unix, `host` and `port` for valkey. The password is not in its repr."""

    kind: Kind
    path: str = ""
    host: str = ""
    port: int = DEFAULT_PORT
    user: str = ""
    password: str = field(default="", repr=False)
    database: int = 0

    def shown(self) -> str:
        """The address for messages: without user and password."""
        if self.kind == "unix":
            return f"unix://{self.path}"
        if self.kind == "valkey":
            return f"valkey://[{self.host}]:{self.port}" if ":" in self.host else f"valkey://{self.host}:{self.port}"
        return self.kind


def unix_url(path: str) -> StoreUrl:
    """The address of a socket. Raises ConfigError if the path cannot be one."""
    if not path.startswith("/"):
        raise ConfigError("a store socket needs an absolute path", f"unix://{path}", "write unix:///PATH")
    if len(path.encode()) > LONGEST_SOCKET_PATH:
        raise ConfigError(f"longer than {LONGEST_SOCKET_PATH} bytes", f"unix://{path}", "use a shorter path")
    return StoreUrl("unix", path=path)


def parse_url(text: str) -> StoreUrl:
    """Take `text` apart. Raises ConfigError, never with the password in its message."""
    if text == "memory":
        return StoreUrl("memory")
    if text == "embedded":
        return StoreUrl("embedded")
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ConfigError(f"no store address: {error}", "store url", FORMS) from None
    if parts.scheme == "unix":
        return _parse_unix(parts)
    if parts.scheme == "valkey":
        return _parse_valkey(parts)
    if parts.scheme in ("valkeys", "rediss", "redis"):
        raise ConfigError(f"{parts.scheme}:// is not supported (no TLS yet)", "store url", "write valkey://HOST:PORT")
    raise ConfigError("no store address", "store url", FORMS)


def _parse_unix(parts: SplitResult) -> StoreUrl:
    if parts.netloc:
        raise ConfigError("a store socket needs an absolute path", "store url", "write unix:///PATH, three slashes")
    query = parse_qs(parts.query, keep_blank_values=True)
    if parts.fragment or query.keys() - {"db"}:
        raise ConfigError("unknown part behind the path", f"unix://{parts.path}", "only ?db=N is possible")
    url = unix_url(unquote(parts.path))
    return StoreUrl("unix", path=url.path, database=_database(query["db"][-1], url.shown()) if "db" in query else 0)


def _parse_valkey(parts: SplitResult) -> StoreUrl:
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError("the port is no number from 1 to 65535", "store url", FORMS) from None
    if not host or port == 0:
        raise ConfigError("no host or no port", "store url", FORMS)
    if parts.query or parts.fragment:
        raise ConfigError("unknown part behind the address", f"valkey://{host}", "only /N, a database, is possible")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if user and not password:
        raise ConfigError("a user but no password", f"valkey://{host}", "write valkey://USER:PASSWORD@HOST:PORT")
    database = _database(parts.path[1:], f"valkey://{host}") if parts.path not in ("", "/") else 0
    return StoreUrl("valkey", "", host, port or DEFAULT_PORT, user, password, database)


def _database(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 31):
        raise ConfigError(f"{text!r} is no database number", where, "use 0 or leave it out")
    return int(text)
