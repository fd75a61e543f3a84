"""The duties of each function that has some, put together with their connections."""

from __future__ import annotations

from collections.abc import Callable

from statelessnf.duties import Work
from statelessnf.duties.backing import CHECKS, FLOWS, backing, stored_pairs, timed_flows
from statelessnf.duties.duty import Duty, Host
from statelessnf.duties.expiry import LEASE, MOST, Expiry
from statelessnf.pipe_options import deployment_number
from statelessnf.store.client import StoreClient
from statelessnf.store.expiry import OnExpire, expire_due
from statelessnf.store.url import StoreUrl


def work_of(host: Host, store: StoreUrl | None) -> Work:
    """See `duties_of`."""
    function = host.deployment.function_class
    work = _WORK[function.name](host, store) if function.name in _WORK else Work([])
    if store is not None and function.timed(host.deployment.settings):
        work.duties.append(_expiry(host, store, work.on_expire))
    return work


def _expiry(host: Host, store: StoreUrl, on_expire: OnExpire) -> Expiry:
    services, _, close = backing(store, deployment_number(host.deployment.name), FLOWS)
    return Expiry(lambda told: expire_due(services, MOST, LEASE, told).claimed, on_expire, close)


def _balancing(host: Host, store: StoreUrl | None) -> Work:
    from statelessnf.duties.health_checks import HealthChecks
    from statelessnf.duties.loads import Loads

    number = deployment_number(host.deployment.name)
    checks = HealthChecks(host, number, backing(store, number, CHECKS))
    if store is None:  # nothing counts flows
        return Work([checks])
    return Work([checks, Loads(host, backing(store, number, FLOWS))])


def _translating(host: Host, store: StoreUrl | None) -> Work:
    from statelessnf.duties.mapping_log import MappingLog
    from statelessnf.duties.pool_use import PoolUse

    log = MappingLog(host, deployment_number(host.deployment.name))
    duties: list[Duty] = [log]
    if (counted := _sessions(host, store)) is not None:
        duties.append(PoolUse(host, *counted))
    return Work(duties, log.created, log.deleted)


def _sessions(host: Host, store: StoreUrl | None) -> tuple[Callable[[], int], Callable[[], None]] | None:
    """How the deployment's sessions are counted, and what closes the connection; None: it would cost too much."""
    if store is None:
        return lambda: int(host.stats()["records"]) // 2, lambda: None
    client, number = StoreClient(store), deployment_number(host.deployment.name)
    if host.deployment.function_class.timed(host.deployment.settings):
        return lambda: timed_flows(client, number), client.close
    if host.deployment.store.address.kind == "embedded":
        return lambda: stored_pairs(client), client.close
    return None


_WORK = {"load_balancer": _balancing, "nat": _translating}
