"""Plays packets through instances of the NAT (plain form) on one store of two-key flows, as the engine would keep it.

`Play.send` runs a packet to its end. `Play.start` gives a `Passage`, whose steps are the requests to the store: several
at once are instances that race. Both keys of a flow are written together or not at all; a candidate whose outer key is
taken comes back with `attempt + 1`. A record past its deadline is absent.
"""

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import numpy as np

from statelessnf.fields import Fields
from statelessnf.function import Outcome, plain_tables, run_plain, table_arrays
from statelessnf.functions.nat import Nat
from statelessnf.networks import mapped_address
from statelessnf.packet import (
    FORWARD,
    ICMP,
    ICMP_ERROR,
    ICMPV6,
    INBOUND,
    NO_WINDOW_SCALE,
    OUTBOUND,
    PACKET,
    SYN,
    TCP,
)

Endpoint = tuple[str, int]
Key = tuple[int, int, tuple[tuple[int, int], tuple[int, int]]]

SERVER: Endpoint = ("198.51.100.7", 443)
RESOLVER: Endpoint = ("198.51.100.53", 53)
HOST: Endpoint = ("10.0.0.1", 40000)
OTHER: Endpoint = ("10.0.0.2", 40000)
ONE = [{"addresses": "203.0.113.1"}]
WEB = {"protocol": "tcp", "external": "203.0.113.1", "ports": "80", "inner": "10.0.0.80", "inner_port": 8080}


def config(**more: Any) -> Any:
    """Valid settings: two external addresses unless `pool` is given."""
    pool = {"pool": [{"addresses": "203.0.113.1-203.0.113.2"}], "subscribers": ["10.0.0.0/16"]}
    return Nat.Config.model_validate({**pool, **more})


def packet(direction: int, protocol: int, source: Endpoint, destination: Endpoint, **fields: Any) -> Any:
    """One element of PACKET; ICMP: the port of both ends is the identifier."""
    made = np.zeros(1, PACKET)[0]
    for end, (address, port) in (("source", source), ("destination", destination)):
        made[f"{end}_high"], made[f"{end}_low"] = divmod(mapped_address(ip_address(address)), 1 << 64)
        made[f"{end}_port"] = port
    made["version"] = ip_address(source[0]).version
    made["protocol"], made["direction"], made["window_scale"] = protocol, direction, NO_WINDOW_SCALE
    if protocol in (ICMP, ICMPV6) and "icmp_type" not in fields:
        made["icmp_type"] = {(ICMP, 0): 8, (ICMP, 1): 0, (ICMPV6, 0): 128, (ICMPV6, 1): 129}[protocol, direction]
    for name, value in fields.items():
        made[name] = value
    return made


def endpoint(element: Any, end: str) -> Endpoint:
    """`source` or `destination` of a packet, `inner` or `outer` of a record."""
    address = ip_address(int(element[f"{end}_high"]) << 64 | int(element[f"{end}_low"]))
    return str(getattr(address, "ipv4_mapped", None) or address), int(element[f"{end}_port"])


def ends(element: Any) -> tuple[Endpoint, Endpoint]:
    return endpoint(element, "source"), endpoint(element, "destination")


def key_of(element: Any, filtering: str) -> Key:
    """The flow key: both endpoints, of the remote one what the filtering says."""
    pair = {end: (int(element[f"{end}_high"]) << 64 | int(element[f"{end}_low"]), int(element[f"{end}_port"]))
            for end in ("source", "destination")}  # fmt: skip
    leaves = (element["direction"] == OUTBOUND) == (element["kind"] != ICMP_ERROR)
    remote = "destination" if leaves else "source"
    kept = {"endpoint-independent": (0, 0), "address": (pair[remote][0], 0), "address-and-port": pair[remote]}
    pair[remote] = kept[filtering]
    low, high = sorted(pair.values())
    return int(element["version"]), int(element["protocol"]), (low, high)


@dataclass
class Stored:
    record: bytes
    deadline: int


@dataclass
class Passage:
    """A packet on its way through one instance. `done`: "forward" or a drop reason; `sent`: the packet as rewritten."""

    play: "Play"
    received: Any
    done: str = ""
    sent: Any = None
    attempts: int = 1
    _before: bytes | None = None
    _outcome: Outcome | None = None
    _attempt: int = 0

    def step(self) -> None:
        """One request to the store, and what follows from its answer."""
        if self._outcome is None:
            self._run()
        elif self._commit():
            self._end("forward")
        else:
            self._conflict()

    def _run(self) -> None:
        play, key = self.play, key_of(self.received, self.play.config.filtering)
        self._before = play.read(key)
        record = np.frombuffer(self._before or bytes(Nat.record.itemsize), Nat.record)[0]
        self.sent = self.received.copy()
        self.sent["attempt"] = self._attempt
        self._outcome = run_plain(Nat, self.sent, record, play.tables)
        assert not self._outcome.fault, Fields(self.received)
        changed = self._outcome.record.tobytes() != record.tobytes()
        if self._outcome.verdict != FORWARD:
            assert not changed, "a drop changed the record"
            self._end(Nat.drop_reasons[(self._outcome.verdict >> 8) - 1])
        elif not changed:
            play.refresh(self._keys(), self._outcome.lifetime, self.received)
            self._end("forward")

    def _keys(self) -> tuple[Key, Key]:
        filtering = self.play.config.filtering
        return key_of(self.received, filtering), key_of(self.sent, filtering)

    def _commit(self) -> bool:
        assert self._outcome is not None
        return self.play.write(self._keys(), self._before, self._outcome)

    def _conflict(self) -> None:
        own_is_free = self._before is None and self.play.read(self._keys()[0]) is None
        self._attempt += own_is_free  # so the other one was taken
        self.attempts += 1
        self._outcome = None

    def _end(self, what: str) -> None:
        self.done = what


@dataclass
class Play:
    """Instances of one deployment: they share nothing but the store."""

    config: Any = field(default_factory=config)
    now: int = 1_700_000_000_000
    store: dict[Key, Stored] = field(default_factory=dict)
    commits: int = 0

    def __post_init__(self) -> None:
        self.use(self.config)

    def use(self, settings: Any) -> None:
        """Other settings (a reload); the store stays."""
        self.config, self.tables = settings, plain_tables(Nat, table_arrays(Nat, settings))

    def read(self, key: Key) -> bytes | None:
        stored = self.store.get(key)
        return stored.record if stored and stored.deadline > self.now else None

    def write(self, keys: tuple[Key, Key], before: bytes | None, outcome: Outcome) -> bool:
        """Compare both, set both: NX for a flow that begins."""
        assert keys[0] != keys[1], "a flow with one key"
        if any(self.read(key) != before for key in keys):
            return False
        stored = Stored(outcome.record.tobytes(), self.now + outcome.lifetime)
        self.store |= dict.fromkeys(keys, stored)
        self.commits += 1
        return True

    def refresh(self, keys: tuple[Key, Key], lifetime: int, received: Any) -> None:
        """Errors refresh nothing (RFC 5508 REQ-6); any other forwarded packet does, from either side."""
        if received["kind"] != ICMP_ERROR:
            for key in keys:
                self.store[key].deadline = self.now + lifetime

    def start(self, received: Any) -> Passage:
        return Passage(self, received)

    def run(self, received: Any) -> Passage:
        passage = self.start(received)
        while not passage.done:
            passage.step()
        return passage

    def send(self, *arguments: Any, **fields: Any) -> Passage:
        """Arguments of `packet`."""
        return self.run(packet(*arguments, **fields))

    def out(self, protocol: int, source: Endpoint, destination: Endpoint = SERVER, **fields: Any) -> Endpoint:
        """A packet from inside that has to pass (TCP: a SYN); gives the outer endpoint it leaves from."""
        if protocol == TCP:
            fields = {"tcp_flags": SYN, **fields}
        passage = self.send(OUTBOUND, protocol, source, destination, **fields)
        assert passage.done == "forward", passage.done
        return endpoint(passage.sent, "source")

    def back(self, protocol: int, source: Endpoint, outer: Endpoint, **fields: Any) -> Endpoint | str:
        """A packet from outside: the inner endpoint it reaches, or why it does not."""
        passage = self.send(INBOUND, protocol, source, outer, **fields)
        return endpoint(passage.sent, "destination") if passage.done == "forward" else passage.done

    def record(self, protocol: int, source: Endpoint, destination: Endpoint = SERVER) -> Any:
        """The live record of a flow from inside, None: there is none."""
        found = self.read(key_of(packet(OUTBOUND, protocol, source, destination), self.config.filtering))
        return None if found is None else np.frombuffer(found, Nat.record)[0]
