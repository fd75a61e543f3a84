"""Opening a deployment's store: the embedded server, a running one, or none (the baseline)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from statelessnf.config import Deployment
from statelessnf.store.checks import StoreAccess, check_store
from statelessnf.store.client import StoreClient
from statelessnf.store.embedded import embedded_store
from statelessnf.store.library import ensure_library
from statelessnf.store.url import StoreUrl, unix_url


class OpenStore(NamedTuple):
    """A store that was checked: what the engine needs, and the address for the control plane's own client."""

    access: StoreAccess
    url: StoreUrl


@contextmanager
def open_store(deployment: Deployment, run_directory: Path) -> Iterator[OpenStore | None]:
    """Holds the store while the context lasts; None: the baseline. Raises StoreError, ConfigError."""
    url, tracked = deployment.store.address, deployment.store.cache == "tracked"
    if url.kind == "memory":
        yield None
    elif url.kind == "embedded":
        with embedded_store(run_directory, deployment.store.memory_mb) as store:
            url = unix_url(str(store.socket_path))
            access = check_store(url, deployment.name, tracked=tracked, secret=store.secret)
            yield _opened(deployment, access, url)
    else:
        yield _opened(deployment, check_store(url, deployment.name, tracked=tracked), url)


def _opened(deployment: Deployment, access: StoreAccess, url: StoreUrl) -> OpenStore:
    """With the library that flows of two keys need (docs/decisions/store-functions.md)."""
    if deployment.function_class.rewrites:
        with StoreClient(url) as client:
            ensure_library(client)
    return OpenStore(access, url)
