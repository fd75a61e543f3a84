"""How many flows each server has, by the store's counters, for the policy `least_connections`."""

from __future__ import annotations

from typing import cast

from statelessnf.duties.backing import Backing
from statelessnf.duties.duty import Host
from statelessnf.functions.balancer_config import BalancerConfig
from statelessnf.functions.balancer_tables import backends

PERIOD = 1.0  # seconds: how old the loads in the tables may be


class Loads:
    """A duty (duty.py). The names of counters are backends' ids, 8 bytes little endian."""

    def __init__(self, host: Host, store: Backing) -> None:
        self._host, self._store = host, store
        self._told: dict[int, int] = {}
        self.period = PERIOD

    def look(self) -> None:
        """See `Duty`. Asks nothing where no service has the policy."""
        known = backends(cast(BalancerConfig, self._host.settings))
        wanted = {each.identity for each in known if each.service.policy == "least_connections"}
        if not wanted:
            return
        counts = {int.from_bytes(name, "little"): number for name, number in self._store.services.counts().items()}
        loads = {identity: counts[identity] for identity in sorted(wanted & counts.keys())}
        if loads != self._told:
            self._host.inform(loads=loads)
            self._told = loads

    def close(self) -> None:
        """See `Duty`."""
        self._store.close()
