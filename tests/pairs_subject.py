"""A network function that rewrites, for tests of several engines: its options, its plain form, and its keys.

Tables come in versions (servers of the load balancer that are down); what an engine does with a packet is held against
every version that it may have had.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from engine_world import DEPLOYMENT, ENVELOPE, Sample, packet_of
from nat_play import ends, key_of
from statelessnf.builder import build
from statelessnf.function import Function, plain_tables, run_plain, table_arrays
from statelessnf.functions.load_balancer import LoadBalancer
from statelessnf.functions.rule_match import LinearRules
from statelessnf.packet import FORWARD, PACKET
from statelessnf.pipe_options import tables_of, traits_of

LINK = 12  # bytes at the end of an IPv4 record: both keys' endpoints, xored (engine/pair.hpp)


class Ran(NamedTuple):
    """What one run of the function said."""

    verdict: str  # "forward" or a drop reason
    record: bytes
    sent: bytes  # the packet as the function wants it


class PairSubject:
    """`versions`: the function's settings in each version of the tables; the engine begins with the first."""

    def __init__(self, function: type[Function], versions: Sequence[Any]) -> None:
        self.function, self.versions = function, versions
        self.filtering = getattr(versions[0], "filtering", "address-and-port")
        self.tables = [tables_of(function, settings) for settings in versions]
        rules = [LinearRules(LoadBalancer.rules(one)) if function is LoadBalancer else None for one in versions]
        self._plain = [
            plain_tables(function, table_arrays(function, settings), rules[i]) for i, settings in enumerate(versions)
        ]
        self.options = {
            "program": str(build(function)),
            "tables": self.tables[0].tables,
            "rules": self.tables[0].rules,
            "traits": traits_of(function, versions[0]),
        }
        self.nothing = bytes(function.record.itemsize)
        self.run = lru_cache(1 << 16)(self._run)
        self.key = lru_cache(1 << 14)(self._key)

    def fields(self, value: bytes) -> bytes:
        """The function's own fields of a stored record."""
        return value[ENVELOPE : ENVELOPE + self.function.record.itemsize]

    def row(self, value: bytes) -> Any:
        """They, as an element of the function's record type."""
        return np.frombuffer(self.fields(value), self.function.record)[0]

    def _key(self, packet: bytes) -> bytes:
        """The key, without its tag, of an IPv4 packet record (engine/flow.hpp)."""
        version, protocol, pair = key_of(np.frombuffer(packet, PACKET)[0], self.filtering)
        addresses = b"".join((address & 0xFFFFFFFF).to_bytes(4, "big") for address, _ in pair)
        ports = b"".join(port.to_bytes(2, "big") for _, port in pair)
        return DEPLOYMENT.to_bytes(4, "little") + bytes((ord("f"), version, protocol, 0)) + addresses + ports

    def _run(self, version: int, packet: bytes, attempt: int, record: bytes) -> Ran:
        sent = np.frombuffer(packet, PACKET).copy()
        sent["attempt"] = attempt
        outcome = run_plain(
            self.function, sent[0], np.frombuffer(record, self.function.record)[0], self._plain[version]
        )
        verdict = "forward" if outcome.verdict == FORWARD else "function_error"
        if not outcome.fault and outcome.verdict >> 8:
            verdict = self.function.drop_reasons[(outcome.verdict >> 8) - 1]
        return Ran(verdict, outcome.record.tobytes(), sent.tobytes())


@lru_cache(1 << 14)
def received(sample: Sample, now: int) -> bytes:
    """The packet record of a sample that arrived at `now` (ms)."""
    packet = packet_of(sample)
    packet["now"] = now
    return packet.tobytes()


@lru_cache(1 << 14)
def ends_of(packet: bytes) -> Any:
    """Source and destination of a packet record: (address, port) each."""
    return ends(np.frombuffer(packet, PACKET)[0])


def leaves(ran: Ran) -> Any:
    """Source and destination of the packet as it leaves; None: it does not."""
    return ends_of(ran.sent) if ran.verdict == "forward" else None


def deadline(value: bytes) -> int:
    """Until when a stored record lives (ms)."""
    return int.from_bytes(value[ENVELOPE - 8 : ENVELOPE], "little")


def partner(key: bytes, value: bytes) -> bytes:
    """The other key of a record that stands under `key`, both without tags."""
    return key[:-LINK] + bytes(one ^ other for one, other in zip(key[-LINK:], value[-LINK:], strict=True))
