"""What must hold of a store before an instance uses it, checked once at connect with the `valkey` client.

Reachable, the password right, a Valkey of at least version 9.1 (SET IFEQ, MSETEX), no limit on tracked keys,
`maxmemory` set with `noeviction` (protocol.md, rule 11), and the deployment's own two keys: the schema version of its
records, and its secret, which the first instance writes and all others read.
"""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import valkey
from valkey.exceptions import AuthenticationError, BusyLoadingError, NoPermissionError, OutOfMemoryError, ValkeyError

from statelessnf.errors import StoreError, StoreRefused, StoreReplyError, StoreUnavailable
from statelessnf.store.url import StoreUrl

SCHEMA_VERSION = 1  # schema_version in engine/record.hpp
OLDEST_SERVER = (9, 1)
PATIENCE = 3.0  # seconds to connect, and for each answer


class Client(Protocol):
    """What is used of the `valkey` client: its own annotations cover the asynchronous client, too."""

    def info(self, section: str) -> dict[str, object]: ...
    def config_get(self, *names: str) -> dict[str, str]: ...
    def set(self, key: str, value: bytes, *, nx: bool, get: bool) -> bytes | None: ...


@dataclass(frozen=True)
class StoreAccess:
    """What the engine needs to use a store: its numeric address (`unix:/path`, `tcp:1.2.3.4:6379`) and credentials."""

    address: str
    secret: int = field(repr=False)  # 64 bits, the deployment's
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    database: int = 0


def check_store(url: StoreUrl, deployment: str, *, tracked: bool = True, secret: int | None = None) -> StoreAccess:
    """Check the store at `url` (unix or valkey) for `deployment` and give what the engine needs.

    `tracked`: also the settings that tracking needs. `secret`: proposed where the store has none yet (None: random); it
    is for an embedded store, which keeps its own. Raises StoreUnavailable, StoreRefused or StoreReplyError.
    """
    address = _address(url)
    with connect(url) as connection:
        client = cast(Client, connection)
        try:
            _check_version(client, url)
            if tracked:
                _check_settings(client, url)
            _check_schema(client, url, deployment)
            agreed = _agree_on_secret(client, url, deployment, secret)
        except ValkeyError as error:
            raise explained(error, url) from None
    return StoreAccess(address, agreed, url.user, url.password, url.database)


def _address(url: StoreUrl) -> str:
    if url.kind == "unix":
        return f"unix:{url.path}"
    try:
        family, _, _, _, place = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise StoreUnavailable(
            f"no address for this host ({error.strerror})", url.shown(), "check the host's name in store.url"
        ) from None
    host = f"[{place[0]}]" if family == socket.AF_INET6 else str(place[0])
    return f"tcp:{host}:{url.port}"


def connect(url: StoreUrl) -> valkey.Valkey:
    """The control plane's own client; nothing is sent yet. Its errors: see `explained`."""
    options: dict[str, Any] = {
        "username": url.user or None,
        "password": url.password or None,
        "db": url.database,
        "socket_connect_timeout": PATIENCE,
        "socket_timeout": PATIENCE,
    }
    if url.kind == "unix":
        return valkey.Valkey(unix_socket_path=url.path, **options)
    return valkey.Valkey(host=url.host, port=url.port, **options)


def explained(error: ValkeyError, url: StoreUrl) -> StoreError:
    """The client's error as one of ours: what happened, where, what to do. The order follows the client's own tree."""
    text = str(error).rstrip(".")
    if isinstance(error, AuthenticationError) or text.startswith(("NOAUTH", "WRONGPASS")):
        return StoreRefused("the store refused the user or the password", url.shown(), "correct them in store.url")
    if isinstance(error, NoPermissionError):
        return StoreRefused(
            f"the store's user may not do this ({text})",
            url.shown(),
            "allow it by ACL: +@all without +@dangerous, and +config|get",
        )
    if isinstance(error, BusyLoadingError):
        return StoreUnavailable("the store is still loading its data", url.shown(), "try again in a moment")
    if isinstance(error, valkey.ConnectionError | valkey.TimeoutError):
        return StoreUnavailable(f"the store cannot be reached ({text})", url.shown(), "start it, or correct store.url")
    if isinstance(error, OutOfMemoryError):
        return StoreRefused("the store's memory is full", url.shown(), "raise its maxmemory, or end old deployments")
    return StoreReplyError(f"the store answered: {text}", url.shown(), "check that it is a Valkey server, and healthy")


def _check_version(client: Client, url: StoreUrl) -> None:
    server = client.info("server")
    version = str(server.get("valkey_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST_SERVER:
        found = f"Valkey {version}" if version else f"Redis {server.get('redis_version', 'of unknown version')}"
        raise StoreRefused(f"the store is {found}", url.shown(), "use Valkey 9.1 or newer, or url = 'embedded'")


def _check_settings(client: Client, url: StoreUrl) -> None:
    found = client.config_get("maxmemory", "maxmemory-policy", "tracking-table-max-keys")
    if found.get("tracking-table-max-keys") != "0":
        raise _setting(url, "tracking-table-max-keys", "0", "past its limit the store stops telling of changes")
    if found.get("maxmemory") == "0":
        raise _setting(url, "maxmemory", "1gb", "without a limit the machine's memory is the limit")
    if found.get("maxmemory-policy") != "noeviction":
        raise _setting(url, "maxmemory-policy", "noeviction", "it would throw records away")


def _setting(url: StoreUrl, name: str, value: str, why: str) -> StoreRefused:
    return StoreRefused(f"setting {name} does not suit: {why}", url.shown(), f"on the store: CONFIG SET {name} {value}")


def _settle(client: Client, key: str, proposed: bytes) -> bytes:
    """The value that stands under `key` from now on: `proposed`, unless somebody was there before."""
    before = client.set(key, proposed, nx=True, get=True)
    return proposed if before is None else before


def _check_schema(client: Client, url: StoreUrl, deployment: str) -> None:
    found = _settle(client, f"statelessnf:{deployment}:schema", str(SCHEMA_VERSION).encode())
    if found != str(SCHEMA_VERSION).encode():
        raise StoreRefused(
            f"deployment {deployment!r} has another schema version ({found[:20]!r}, ours is {SCHEMA_VERSION})",
            url.shown(),
            "end its instances of the other release and let its records expire, or use another name",
        )


def _agree_on_secret(client: Client, url: StoreUrl, deployment: str, proposed: int | None) -> int:
    own = secrets.token_bytes(8) if proposed is None else proposed.to_bytes(8, "little")
    key = f"statelessnf:{deployment}:secret"
    found = _settle(client, key, own)
    if len(found) != 8:
        raise StoreReplyError(f"{key} holds no secret", url.shown(), "delete that key while no instance runs")
    return int.from_bytes(found, "little")
