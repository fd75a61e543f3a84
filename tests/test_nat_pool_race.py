"""Two instances open 50,000 flows at once and nearly fill the pool: no shared mapping, nothing that leaks.

One external address, one remote endpoint: each port of the pool is one flow's or nobody's. The flows' own ports are
few, so nearly every flow competes; some are opened at both instances at once. Who gets no port is told so by name.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from struct import pack, unpack_from

import pytest
import valkey

from statelessnf._engine import Pipe
from statelessnf.builder import build
from statelessnf.functions.nat import Nat
from statelessnf.pipe_options import tables_of, traits_of

pytestmark = pytest.mark.beside

FLOWS, POOL = 50_000, 51_000
HOSTS = 1000
BOTH = 20  # one flow of so many is opened at both instances
ROOM = 4096
OUTER, REMOTE = "203.0.113.1", bytes((198, 51, 100, 7))
MACS = bytes.fromhex("020000000001020000000002")
PATIENCE_S = 120.0
ICMP = 1
CHECK = """
local missing, others, seen = 0, 0, {}
local keys = server.call('KEYS', '*')
for _, key in ipairs(keys) do
  local value, at = server.call('GET', key), server.call('PEXPIRETIME', key)
  if at < 0 then missing = missing + 1 end
  if seen[value] == nil then seen[value] = at elseif seen[value] ~= at then others = others + 1 end
end
local values = 0
for _ in pairs(seen) do values = values + 1 end
return { #keys, values, missing, others }
"""

Endpoint = tuple[bytes, int]


def frame(source: Endpoint, destination: Endpoint) -> bytes:
    """A datagram of one byte without a checksum of its own (RFC 768)."""
    head = pack("!BBHHHBBH4s4s", 0x45, 0, 29, 0, 0, 64, 17, 0, source[0], destination[0])
    total = sum(unpack_from("!10H", head))
    checksum = ~(total % 0xFFFF or 0xFFFF) & 0xFFFF
    datagram = pack("!HHHHB", source[1], destination[1], 9, 0, 7)
    return MACS + b"\x08\x00" + head[:10] + pack("!H", checksum) + head[12:] + datagram


def ends(sent: bytes) -> tuple[Endpoint, Endpoint]:
    """Source and destination of a datagram."""
    ports = unpack_from("!HH", sent, 34)
    return (sent[26:30], ports[0]), (sent[30:34], ports[1])


def inner(flow: int) -> Endpoint:
    """Who opens a flow."""
    host = flow % HOSTS
    return bytes((10, 0, host >> 8, host & 255)), 20_000 + flow // HOSTS


class Instance:
    """A pipe with its own connection; `left` by token, `dropped` by reason, `told`: hosts for whom no port was left."""

    def __init__(self, socket: Path) -> None:
        pool = [{"addresses": OUTER, "ports": f"{65536 - POOL}-65535"}]
        settings = Nat.Config.model_validate({"pool": pool, "subscribers": ["10.0.0.0/16"]})
        tables = tables_of(Nat, settings)
        limits = {"packets": ROOM, "flows": 2 * FLOWS, "flights": ROOM, "queue": 64, "stale_ms": 5000}
        self.pipe = Pipe(
            {"program": str(build(Nat)), "tables": tables.tables, "rules": tables.rules, "mode": "tracked",
             "traits": traits_of(Nat, settings), "deployment": 1, "secret": 2, "limits": limits, "frames": ROOM,
             "frame_size": 128, "captured": ROOM, "store": {"address": f"unix:{socket}", "stale_ms": 5000}}
        )  # fmt: skip
        self.left: dict[int, bytes] = {}
        self.dropped: Counter[str] = Counter()
        self.under_way = self.told = 0

    def step(self) -> None:
        """One step, and what has come of it."""
        self.pipe.step()
        for token, _, sent in self.pipe.collect():
            if sent[23] == ICMP:
                self.told += 1
                continue
            self.left[token] = sent
            self.under_way -= 1
        for _, reason, own, _ in self.pipe.dropped():
            self.dropped[Nat.drop_reasons[own] if own >= 0 else reason] += 1
            self.under_way -= 1

    def send(self, sent: bytes, side: int, token: int) -> None:
        """AssertionError where there is no room."""
        assert self.pipe.inject(sent, side, token)
        self.under_way += 1


def run(instances: list[Instance], wanted: list[list[tuple[bytes, int, int]]]) -> None:
    """Send everything, as fast as there is room, until it has left or was dropped."""
    deadline, at = time.monotonic() + PATIENCE_S, [0] * len(instances)
    while any(one.under_way or at[i] < len(wanted[i]) for i, one in enumerate(instances)):
        assert time.monotonic() < deadline, [one.pipe.stats() for one in instances]
        for i, one in enumerate(instances):
            for packet in wanted[i][at[i] : at[i] + min(256, ROOM // 2 - one.under_way)]:
                one.send(*packet)
                at[i] += 1
            one.step()


@pytest.mark.timeout(300)
def test_two_instances_nearly_fill_a_pool(valkey_server: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instances = [Instance(valkey_server) for _ in range(2)]
    while not all(one.pipe.available() for one in instances):
        for one in instances:
            one.step()
    openings = [(frame(inner(flow), (REMOTE, 53)), 0, flow) for flow in range(FLOWS)]
    wanted = [[packet for packet in openings if packet[2] % 2 == i or packet[2] % BOTH == 0] for i in range(2)]
    start = time.monotonic()
    run(instances, wanted)
    seconds = time.monotonic() - start
    owners: dict[Endpoint, int] = {}
    for one in instances:
        for flow, sent in one.left.items():
            source, destination = ends(sent)
            assert destination == (REMOTE, 53)
            assert owners.setdefault(source, flow) == flow, f"flows {flow} and {owners[source]} share {source}"
    assert len(set(owners.values())) == len(owners), "a flow has two mappings"
    dropped = sum((one.dropped for one in instances), Counter[str]())
    assert set(dropped) <= {"no_port_left"}, dropped
    assert (sum(one.told for one in instances) > 0) == (dropped.total() > 0)
    assert sum(dropped.values()) + sum(len(one.left) for one in instances) == sum(map(len, wanted))
    with valkey.Valkey(unix_socket_path=str(valkey_server)) as client:
        assert client.eval(CHECK, 0) == [2 * len(owners), len(owners), 0, 0], "a pair is broken, or has no end"
    answer_all(instances, owners)
    stats = [one.pipe.stats() for one in instances]
    refusals = sum(one["refusals"] for one in stats) / sum(one["commits"] for one in stats)
    with capsys.disabled():
        print(f"\n{len(owners)} of {FLOWS} flows opened, {FLOWS / seconds:,.0f}/s, {refusals:.1%} of commits refused")


def answer_all(instances: list[Instance], owners: dict[Endpoint, int]) -> None:
    """Each flow's answer comes to the other instance, and goes to whoever opened the flow."""
    for one in instances:
        one.left.clear()
        one.dropped.clear()
    answers = [(frame((REMOTE, 53), outer), 1, flow) for outer, flow in owners.items()]
    run(instances, [[packet for packet in answers if packet[2] % 2 != i] for i in range(2)])
    assert not any(one.dropped for one in instances), [one.dropped for one in instances]
    for one in instances:
        for flow, sent in one.left.items():
            assert ends(sent) == ((REMOTE, 53), inner(flow))
