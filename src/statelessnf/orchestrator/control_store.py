"""The store in which an orchestrator keeps its own state: the deployment's, or one of its own for the baseline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from statelessnf.config import Deployment
from statelessnf.orchestrator.section import OrchestratorSection
from statelessnf.store.embedded import embedded_store, make_private
from statelessnf.store.url import StoreUrl, parse_url, unix_url
from statelessnf.store_access import open_store

OWN_MEMORY_MB = 64


@contextmanager
def control_store(deployment: Deployment, section: OrchestratorSection) -> Iterator[tuple[StoreUrl, StoreUrl | None]]:
    """Addresses of the orchestrator's store, and of the instances' (None: they have none).

    Raises StoreError, ConfigError.
    """
    with open_store(deployment, deployment.run_directory) as store:
        shared = None if store is None else store.url
        if section.store not in (None, "embedded"):
            yield parse_url(section.store or ""), shared
        elif shared is not None and section.store is None:
            yield shared, shared
        else:
            make_private(deployment.run_directory)
            with embedded_store(deployment.run_directory / "orchestrator", OWN_MEMORY_MB) as own:
                yield unix_url(str(own.socket_path)), shared
