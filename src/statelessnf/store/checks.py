"""What must hold of a store before an instance uses it, checked once at connect.

Reachable, the password right, a Valkey of at least version 9.1 (SET IFEQ, MSETEX), no limit on tracked keys,
`maxmemory` set with `noeviction` (protocol.md, rule 11), and the deployment's own two keys: the schema version of its
records, and its secret, which the first instance writes and all others read.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

from statelessnf.errors import StoreRefused, StoreReplyError, StoreUnavailable
from statelessnf.store.client import StoreClient
from statelessnf.store.url import StoreUrl

SCHEMA_VERSION = 1  # schema_version in engine/record.hpp
OLDEST_SERVER = (9, 1)


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
    with StoreClient(url) as client:
        _check_version(client, url)
        if tracked:
            _check_settings(client, url)
        _check_schema(client, url, deployment)
        agreed = _agree_on_secret(client, url, deployment, secret)
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


def _check_version(client: StoreClient, url: StoreUrl) -> None:
    server = client.info("server")
    version = server.get("valkey_version", "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST_SERVER:
        found = f"Valkey {version}" if version else f"Redis {server.get('redis_version', 'of unknown version')}"
        raise StoreRefused(f"the store is {found}", url.shown(), "use Valkey 9.1 or newer, or url = 'embedded'")


def _check_settings(client: StoreClient, url: StoreUrl) -> None:
    found = client.pairs("CONFIG", "GET", "maxmemory", "maxmemory-policy", "tracking-table-max-keys")
    if found.get("tracking-table-max-keys") != "0":
        raise _setting(url, "tracking-table-max-keys", "0", "past its limit the store stops telling of changes")
    if found.get("maxmemory") == "0":
        raise _setting(url, "maxmemory", "1gb", "without a limit the machine's memory is the limit")
    if found.get("maxmemory-policy") != "noeviction":
        raise _setting(url, "maxmemory-policy", "noeviction", "it would throw records away")


def _setting(url: StoreUrl, name: str, value: str, why: str) -> StoreRefused:
    return StoreRefused(f"setting {name} does not suit: {why}", url.shown(), f"on the store: CONFIG SET {name} {value}")


def _settle(client: StoreClient, key: str, proposed: bytes) -> bytes:
    """The value that stands under `key` from now on: `proposed`, unless somebody was there before."""
    before = client.call("SET", key, proposed, "NX", "GET")
    return before if isinstance(before, bytes) else proposed


def _check_schema(client: StoreClient, url: StoreUrl, deployment: str) -> None:
    found = _settle(client, f"statelessnf:{deployment}:schema", str(SCHEMA_VERSION).encode())
    if found != str(SCHEMA_VERSION).encode():
        raise StoreRefused(
            f"deployment {deployment!r} has another schema version ({found[:20]!r}, ours is {SCHEMA_VERSION})",
            url.shown(),
            "end its instances of the other release and let its records expire, or use another name",
        )


def _agree_on_secret(client: StoreClient, url: StoreUrl, deployment: str, proposed: int | None) -> int:
    own = os.urandom(8) if proposed is None else proposed.to_bytes(8, "little")
    key = f"statelessnf:{deployment}:secret"
    found = _settle(client, key, own)
    if len(found) != 8:
        raise StoreReplyError(f"{key} holds no secret", url.shown(), "delete that key while no instance runs")
    return int.from_bytes(found, "little")
