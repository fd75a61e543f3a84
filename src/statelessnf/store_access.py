"""Opening a deployment's store for the engine: the embedded server, a running one, or none (the baseline)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from statelessnf.config import Deployment
from statelessnf.pipe_options import StoreAccess
from statelessnf.store.embedded import embedded_store


@contextmanager
def open_store(deployment: Deployment, run_directory: Path) -> Iterator[StoreAccess | None]:
    """Holds the store while the context lasts; None: the baseline. Raises StoreError, ConfigError."""
    url = deployment.store.address
    if url.kind == "memory":
        yield None
    elif url.kind == "embedded":
        with embedded_store(run_directory, deployment.store.memory_mb) as store:
            yield StoreAccess(f"unix:{store.socket_path}", "", "", 0, store.secret)
