"""A deployment on a real store with real engines, and the operator's view of its records."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import valkey
from scapy.layers import inet
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from statelessnf._engine import Pipe
from statelessnf.builder import build
from statelessnf.config import parse
from statelessnf.pipe_options import deployment_number, pipe_options
from statelessnf.records.records import Filter, Page, RecordDocument, Records
from statelessnf.records.stored import StoredRecords
from statelessnf.store.client import StoreClient
from statelessnf.store.expiry import expire_due
from statelessnf.store.shards import FLOWS
from statelessnf.store.url import unix_url
from statelessnf.store.valkey_services import ValkeyServices
from statelessnf.store_access import open_store

INSIDE, OUTSIDE = 0, 1
HOST, SERVER = "10.0.0.1", "198.51.100.7"
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")  # else scapy asks the machine's network
PATIENCE = 60.0  # seconds; a busy machine
SETTINGS = ("--maxmemory", "200mb", "--maxmemory-policy", "noeviction", "--tracking-table-max-keys", "0")


class Bed:
    """`pipes`: two instances that share the store. `records`: what is tested."""

    def __init__(self, socket: Path, function: str, section: dict[str, Any]) -> None:
        self.raw: Any = valkey.Valkey(unix_socket_path=str(socket))
        self.raw.flushall()
        document = {"name": "bed", "function": function, "store": {"url": f"unix://{socket}"}, function: section}
        self.deployment = parse(document, Path("bed.toml"))
        with open_store(self.deployment, socket.parent) as store:
            assert store is not None
            options = pipe_options(self.deployment, build(self.deployment.function_class), store.access)
        options["limits"] |= {"packets": 64, "flows": 64, "flights": 64}
        options |= {"frames": 8, "frame_size": 2048, "captured": 8}
        self.pipes = [Pipe(options), Pipe(options)]
        for pipe in self.pipes:
            self._step_until(pipe, pipe.available)
        self._client = StoreClient(unix_url(str(socket)))
        self.services = ValkeyServices(self._client, deployment_number("bed"), FLOWS)
        self._records = StoredRecords(self.deployment, unix_url(str(socket)))
        self.records: Records = self._records

    def close(self) -> None:
        self._records.close()
        self._client.close()
        self.raw.close()

    def send(self, frame: Packet, side: int, pipe: int = 0) -> str:
        """Through an instance: "forward", or the name of the drop reason."""
        assert self.pipes[pipe].inject(bytes(frame), side, 1)
        ended: list[str] = []

        def has_ended() -> bool:
            ended.extend("forward" for _ in self.pipes[pipe].collect())
            ended.extend(self._reason(reason, own) for _, reason, own, _ in self.pipes[pipe].dropped())
            return bool(ended)

        self._step_until(self.pipes[pipe], has_ended)
        [end] = ended
        return end

    def all(self, **wanted: Any) -> list[RecordDocument]:
        return [record for page in self.pages(Filter(**wanted)) for record in page.records]

    def pages(self, wanted: Filter, limit: int = 100) -> Iterator[Page]:
        cursor = None
        while cursor != "":
            page = self.records.list(wanted, cursor or "", limit)
            cursor = page.cursor
            yield page

    def end_due(self) -> list[tuple[tuple[bytes, ...], bytes]]:
        """What an instance's pass over ended flows does: whom it tells of."""
        told: list[tuple[tuple[bytes, ...], bytes]] = []
        expire_due(self.services, 1000, 10_000, lambda keys, value: told.append((keys, value)))
        return told

    def flows(self) -> list[bytes]:
        """Keys of flows in the store."""
        return [name for name in self.raw.scan_iter(count=1000) if name[8:9] == b"f"]

    def _reason(self, reason: str, own: int) -> str:
        return self.deployment.function_class.drop_reasons[own] if reason == "denied" and own >= 0 else reason

    @staticmethod
    def _step_until(pipe: Pipe, condition: Any) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, (pipe.last_error(), pipe.stats()["drops"])
            pipe.step()


@contextmanager
def bed(socket: Path, function: str, section: dict[str, Any]) -> Iterator[Bed]:
    made = Bed(socket, function, section)
    try:
        yield made
    finally:
        made.close()


def tcp(source: str, sport: int, destination: str, dport: int, flags: str, seq: int = 1000, ack: int = 0) -> Packet:
    layer: Packet = Ether(src=MACS[0], dst=MACS[1]) / inet.IP(src=source, dst=destination)
    return layer / inet.TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack)


def udp(source: str, sport: int, destination: str, dport: int) -> Packet:
    layer: Packet = Ether(src=MACS[0], dst=MACS[1]) / inet.IP(src=source, dst=destination)
    return layer / inet.UDP(sport=sport, dport=dport) / b"data"
