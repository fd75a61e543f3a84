"""Plays packets against the load balancer's plain form: instances that share one dictionary as their store.

`Instance.take` does what the engine does about records: both keys of a flow in mode `nat` hold one entry, are taken
together or not at all (then the next attempt), move together, and count for their server while they are `counted`.
It says "forward" or the name of the drop reason; what the packet became stands in `Instance.sent`. Each packet is run
twice on its own outcome: a packet whose commit is known to have happened must go the same way again (protocol, rule 8).
"""

import zlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import numpy as np

from statelessnf.fields import Fields
from statelessnf.function import Outcome, plain_tables, run_plain
from statelessnf.functions.balancer_config import BalancerConfig
from statelessnf.functions.balancer_tables import backends, balancer_rules, balancer_tables
from statelessnf.functions.load_balancer import MAX_ATTEMPTS, LoadBalancer
from statelessnf.functions.rule_match import LinearRules
from statelessnf.networks import mapped_address
from statelessnf.packet import ACK, FORWARD, NO_WINDOW_SCALE, PACKET, SYN, TCP

VIRTUAL = "192.0.2.10"
Ends = tuple[str, int, str, int]  # source, port, destination, port
EMPTY = np.zeros(1, LoadBalancer.record)


def config(*servers: Any, others: Collection[Any] = (), **service: Any) -> BalancerConfig:
    """One service `web` at VIRTUAL, TCP ports 80 and 443; servers as addresses or tables. `others`: more services."""
    pool = [{"address": server} if isinstance(server, str) else server for server in servers]
    top = {name: service.pop(name) for name in ("refusal", "other_traffic", "timeouts") if name in service}
    web = {"name": "web", "address": VIRTUAL, "ports": [80, 443], "servers": pool, **service}
    return BalancerConfig.model_validate({"services": [web, *others], **top})


def packet(ends: Ends, **fields: Any) -> Any:
    """One element of PACKET: a SYN unless `fields` say otherwise."""
    made = np.zeros(1, PACKET)[0]
    for end, address in (("source", ends[0]), ("destination", ends[2])):
        made[f"{end}_high"], made[f"{end}_low"] = divmod(mapped_address(ip_address(address)), 1 << 64)
    made["source_port"], made["destination_port"] = ends[1], ends[3]
    made["version"], made["window_scale"] = ip_address(ends[0]).version, NO_WINDOW_SCALE
    made["protocol"], made["tcp_flags"] = TCP, SYN
    for name, value in fields.items():
        made[name] = value
    return made


def address_of(high: int, low: int) -> str:
    number = int(high) << 64 | int(low)
    return str(ip_address(number & 0xFFFFFFFF) if number >> 32 == 0xFFFF else ip_address(number))


def ends_of(sent: Any) -> Ends:
    source = address_of(sent["source_high"], sent["source_low"])
    destination = address_of(sent["destination_high"], sent["destination_low"])
    return source, int(sent["source_port"]), destination, int(sent["destination_port"])


def _key(sent: Any) -> tuple[Any, ...]:
    source, port, destination, other = ends_of(sent)
    return (int(sent["protocol"]), *sorted([(source, port), (destination, other)]))


@dataclass
class Entry:
    row: np.ndarray[Any, Any]
    deadline: int
    keys: list[tuple[Any, ...]]


@dataclass
class Store:
    """Records by key, and the connections counted for each backend."""

    entries: dict[tuple[Any, ...], Entry] = field(default_factory=dict)
    loads: Counter[int] = field(default_factory=Counter)
    now: int = 1_700_000_000_000
    looked: int = 0  # when the timers were last looked at
    commits: int = 0

    def count(self, row: np.ndarray[Any, Any], by: int) -> None:
        if row["counted"][0]:
            self.loads[int(row["server"][0])] += by

    def expire(self) -> None:
        """What the timers do."""
        if self.looked == self.now:
            return
        self.looked = self.now
        for entry in list(self.entries.values()):
            if self.now >= entry.deadline:
                self.remove(entry)

    def remove(self, entry: Entry) -> None:
        if entry.keys[0] in self.entries:
            self.count(entry.row, -1)
        for key in entry.keys:
            self.entries.pop(key, None)


class Instance:
    """One instance over `store`, with its own version of the tables."""

    def __init__(self, settings: BalancerConfig, store: Store | None = None) -> None:
        self.settings, self.store = settings, store or Store()
        self.sent: Any = None
        self.rejected = False
        self.load()

    def load(self, down: Collection[str] = (), loads: Mapping[int, int] | None = None) -> None:
        """Swap the tables; `down`: addresses of servers."""
        lost = [backend.identity for backend in backends(self.settings) if str(backend.server.address) in down]
        self.arrays = balancer_tables(self.settings, lost, loads)
        self.tables = plain_tables(LoadBalancer, self.arrays, LinearRules(balancer_rules(self.settings)))

    def take(self, ends: Ends, **fields: Any) -> str:
        """A packet arrives: its fate; in `sent` what it became."""
        self.store.expire()
        arrived = packet(ends, now=self.store.now, **fields)
        arrived["flow_hash"] = zlib.crc32(repr(_key(arrived)).encode()) * 0x9E3779B97F4A7C15 % 2**64
        for attempt in range(MAX_ATTEMPTS + 1):
            arrived["attempt"] = attempt
            outcome = self._process(arrived)
            if outcome is not None:
                taken = self.sent["effects"][: self.sent["effect_count"]].tolist()
                self.rejected = [effect >> 24 for effect in taken] == [1]
                reasons = LoadBalancer.drop_reasons
                return "forward" if outcome.verdict == FORWARD else reasons[(outcome.verdict >> 8) - 1]
        raise AssertionError("attempts without end")

    def _process(self, arrived: Any) -> Outcome | None:
        """None: another attempt, as the outer key is taken."""
        key = _key(arrived)
        entry = self.store.entries.get(key)
        before = EMPTY if entry is None else entry.row
        self.sent = arrived.copy()
        outcome = run_plain(LoadBalancer, self.sent, before[0], self.tables)
        assert not outcome.fault
        self._again(arrived, outcome)
        if outcome.record.tobytes() == before.tobytes():
            return outcome
        return outcome if self._commit(key, entry, outcome) else None

    def _again(self, arrived: Any, outcome: Outcome) -> None:
        second = arrived.copy()
        again = run_plain(LoadBalancer, second, outcome.record[0], self.tables)
        assert again.verdict == outcome.verdict, (Fields(arrived), outcome)
        assert second == self.sent, (Fields(second), Fields(self.sent))
        assert again.record.tobytes() == outcome.record.tobytes()

    def _commit(self, key: tuple[Any, ...], entry: Entry | None, outcome: Outcome) -> bool:
        keys = [key] if entry is None else entry.keys
        if outcome.verdict == FORWARD and not self.sent["direct"] and _key(self.sent) not in keys:
            keys = [key, _key(self.sent)]  # a new flow, or one that moved
        if any(self.store.entries.get(one) not in (None, entry) for one in keys):
            return False
        if entry is not None:
            self.store.remove(entry)
        self.store.commits += 1
        made = Entry(outcome.record, self.store.now + outcome.lifetime, keys)
        self.store.entries.update(dict.fromkeys(keys, made))
        self.store.count(outcome.record, 1)
        return True

    @property
    def server(self) -> str:
        """Where the last packet went: the address of the server that its record names."""
        return ends_of(self.sent)[2]


def handshake(instance: Instance, ends: Ends) -> str:
    """SYN, SYN/ACK, ACK through one instance; gives the server."""
    assert instance.take(ends) == "forward"
    server, port = ends_of(instance.sent)[2:]
    if not instance.sent["direct"]:
        assert instance.take((server, port, ends[0], ends[1]), tcp_flags=SYN | ACK) == "forward"
        assert ends_of(instance.sent) == (ends[2], ends[3], ends[0], ends[1])
    assert instance.take(ends, tcp_flags=ACK) == "forward"
    return server


def spread_of(one: Instance, flows: int = 800) -> Counter[str]:
    """Flows of so many clients, by server."""
    found: Counter[str] = Counter()
    for i in range(flows):
        assert one.take((f"198.51.{i >> 8}.{i & 255}", 30000 + i, VIRTUAL, 80)) == "forward"
        found[one.server] += 1
    return found
