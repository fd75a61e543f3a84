"""What instances do beside their pipes, by function: a thread for each duty (duty.py).

Which function has which (by_function.py) stands here and not in the functions: a function is policy, compiled, and
knows neither stores nor threads, and imports go downwards only (ARCHITECTURE.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from statelessnf.duties.duty import Duty, Host
from statelessnf.store.url import StoreUrl

WITH_DUTIES = ("load_balancer", "nat")

Complete = Callable[[dict[str, Any], bytes, bytes], dict[str, Any]]
"""An event's document, header and record (b"": not known) to the document as it is told."""


class Work(NamedTuple):
    """What an instance of a function does beside its pipes."""

    duties: list[Duty]
    complete: Complete = lambda document, _header, _record: document
    on_expire: Callable[[tuple[bytes, ...], bytes], None] = lambda _keys, _record: None


def duties_of(host: Host, store: StoreUrl | None) -> Work:
    """Of the host's function, with a connection to the store (None: the baseline) for each. Raises StoreError."""
    function = host.deployment.function_class
    if function.name not in WITH_DUTIES and not function.timed(host.deployment.settings):
        return Work([])
    from statelessnf.duties.by_function import work_of  # here: instances of other functions start sooner without it

    return work_of(host, store)
