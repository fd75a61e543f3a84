"""`snf bench footprint`: what one instance takes: memory, start-up time, and CPU when nothing happens.

Each run is a fresh `snf run` with an embedded store of its own, on `net_af_xdp` veth ports in namespaces of its own:

    start_s          from just before the process is made to the first frame that it forwards (a SYN is offered every
                     millisecond, and the first that gets through has been read, committed and acknowledged)
    idle_cpu         share of a core over five seconds, after one of silence; the store's two processes apart
    resident_mb      of the idle instance, beside packet buffers: everything but DPDK's own memory
    bytes_per_flow   growth of that by the first 100,000 flows that are in the cache, whatever it is for
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from statelessnf.bench.process_figures import cpu_seconds, listener, parent, resident
from statelessnf.errors import StartFailed
from statelessnf.lab.instances import Instance, run_command, write_deployment
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, connect
from statelessnf.namespaces import Namespace

BARS = {"resident_mb": 100.0, "bytes_per_flow": 300.0, "start_s": 0.5, "idle_cpu_percent": 2.0}
UNITS = {"resident_mb": "MB", "bytes_per_flow": "B", "start_s": "s", "idle_cpu_percent": "%"}
UNITS |= {"buffers_mb": "MB", "store_mb": "MB", "store_cpu_percent": "%", "start_cpu_s": "s"}
FLOWS = 100_000
PACKETS = 4  # of each flow: it is created, found, read to be kept, and found in the cache
SURELY_CACHED = 0.95
RETRY = 1.0  # seconds
CHUNK = 500  # frames sent before looking whether they came through; the port's ring holds 2,048
SILENCE, IDLE = 1.0, 5.0  # seconds
PAUSE = 0.001  # seconds between two looks at a counter
PATIENCE = 120.0  # seconds, for the first frame and for all flows
ETHERNET = bytes.fromhex("0200000000020200000000010800")
MEGA = 1e6


def syn(number: int) -> bytes:
    """An Ethernet frame of 60 bytes: the first segment of a TCP flow to port 80; each number up to 2^30 its own."""
    source = struct.pack("!I", (10 << 24 | 1 << 22) + (number >> 14))
    port = 1024 + (number & 0x3FFF)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, source, bytes([10, 0, 0, 2]))
    header = header[:10] + _checksum(header) + header[12:]
    segment = struct.pack("!HHIIBBHHH", port, 80, number, 0, 5 << 4, 0x02, 65535, 0, 0)
    pseudo = header[12:20] + struct.pack("!BBH", 0, 6, len(segment))
    return ETHERNET + header + segment[:16] + _checksum(pseudo + segment) + segment[18:] + bytes(6)


def _checksum(data: bytes) -> bytes:
    """RFC 1071; `data` of even length with the field itself zero."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


class Bed:
    """One instance between two links whose other ends are ours."""

    def __init__(self, ends: Namespace, instance: Instance, folder: Path, began: float) -> None:
        self.instance, self.began = instance, began
        self.pid = instance.process.pid
        self._socket_path = folder / "run" / "store.sock"
        with ends.entered():
            self._counters = os.open("/proc/thread-self/net/dev", os.O_RDONLY)  # of this namespace for good
            self._inside, self._outside = (_raw_socket(name) for name in ("inside", "outside"))

    def close(self) -> None:
        """The links stay; they go with their namespaces."""
        os.close(self._counters)
        self._inside.close()
        self._outside.close()

    def first_frame(self) -> float:
        """Seconds from the start to the first frame that came through. Raises LabError, StartFailed."""
        frame = syn(0)
        while not select.select([self._outside], [], [], 0.001)[0]:
            self._inside.send(frame)
            self._check(self.began)
        return time.monotonic() - self.began

    def cache_flows(self, count: int) -> None:
        """`count` new flows get through and are in the cache then. Raises as `first_frame`, and if they are not."""
        began = time.monotonic()
        for first in range(1, count + 1, CHUNK):
            frames = [syn(number) for number in range(first, min(first + CHUNK, count + 1))]
            for _ in range(PACKETS):
                self._pass_through(frames, began)
        hits = self._cache_hits(began)
        if hits < count * SURELY_CACHED:
            raise StartFailed(f"{hits} packets of {count} flows found them in the cache", "snf bench footprint")

    def _pass_through(self, frames: list[bytes], began: float) -> None:
        """All of them, sent again as often as some were lost on the way."""
        before = tried = 0.0
        while (there := self._forwarded()) < before + len(frames) or not tried:
            if time.monotonic() > tried + RETRY:
                before, tried = there, time.monotonic()
                for frame in frames:
                    self._inside.send(frame)
            self._check(began)
            time.sleep(PAUSE)

    def _cache_hits(self, began: float) -> int:
        """As the instance says in its next line but one: that one knows of all packets so far."""
        for _ in range(2):
            before = self.instance.figures
            while self.instance.figures is before:
                self._check(began)
                time.sleep(PAUSE)
                self.instance.read_figures()
        return int(self.instance.figures["cache_hits"])

    def _forwarded(self) -> int:
        """Frames that have come out on the outside."""
        text = os.pread(self._counters, 1 << 16, 0).decode()
        line = next(line for line in text.splitlines() if line.strip().startswith("outside:"))
        return int(line.split()[2])  # name, received bytes, received packets

    def _check(self, began: float) -> None:
        if not self.instance.alive:
            raise self.instance.lost()
        if time.monotonic() > began + PATIENCE:
            raise StartFailed(f"packets did not get through in {PATIENCE:g} s", "snf bench footprint")

    def idle_shares(self) -> tuple[float, float]:
        """CPU of the instance and of its store over a time of silence, as shares of a core."""
        time.sleep(SILENCE)
        stores = self.store_pids()
        began, own, store = time.monotonic(), cpu_seconds(self.pid), sum(map(cpu_seconds, stores))
        time.sleep(IDLE)
        seconds = time.monotonic() - began
        return (cpu_seconds(self.pid) - own) / seconds, (sum(map(cpu_seconds, stores)) - store) / seconds

    def store_pids(self) -> tuple[int, int]:
        """The embedded store's server and its keeper."""
        server = listener(self._socket_path)
        return server, parent(server)


def _raw_socket(interface: str) -> socket.socket:
    """All frames of an interface; sees what is sent on it, too, but nothing is sent where it is read."""
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))  # ETH_P_ALL
    link.bind((interface, 0))
    return link


@contextmanager
def bed() -> Iterator[Bed]:
    """A lab with one instance that has just been started. Raises LabError."""
    with Lab() as lab:
        ends, middle = lab.namespace("ends"), lab.namespace("instance")
        for name in ("inside", "outside"):
            connect(Interface(ends, name), Interface(middle, name))
        deployment = write_deployment(lab.folder, "embedded")
        began = time.monotonic()
        instance = Instance(0, middle, run_command(deployment), lab.folder / "instance.log")
        try:
            made = Bed(ends, instance, lab.folder, began)
            try:
                yield made
            finally:
                made.close()
        finally:
            instance.close()


def measure_once(flows: int = FLOWS) -> dict[str, float]:
    """One run, by the names in UNITS. Raises LabError, StartFailed."""
    with bed() as one:
        start, start_cpu = one.first_frame(), cpu_seconds(one.pid)
        idle, store_idle = one.idle_shares()
        before = resident(one.pid)
        store = [resident(pid) for pid in one.store_pids()]
        one.cache_flows(flows)
        after = resident(one.pid)
    return {
        "resident_mb": before.rest / MEGA,
        "bytes_per_flow": (after.rest - before.rest) / flows,
        "start_s": start,
        "idle_cpu_percent": idle * 100,
        "start_cpu_s": start_cpu,
        "buffers_mb": before.buffers / MEGA,
        "store_mb": sum(part.rest for part in store) / MEGA,
        "store_cpu_percent": store_idle * 100,
    }


class Row(NamedTuple):
    """One figure over all runs; `low` and `high` are the smallest and the largest."""

    figure: str
    unit: str
    median: float
    low: float
    high: float
    bar: float | None
    met: bool | None


def rows_of(runs: list[dict[str, float]]) -> list[dict[str, Any]]:
    """A row for each figure; a bar is met where the median is at most it."""
    rows = []
    for figure in runs[0]:
        values = [run[figure] for run in runs]
        middle, bar = median(values), BARS.get(figure)
        met = None if bar is None else middle <= bar
        low, high = round(min(values), 3), round(max(values), 3)
        rows.append(Row(figure, UNITS[figure], round(middle, 3), low, high, bar, met)._asdict())
    return rows


def measure(runs: int, progress: Callable[[int], None]) -> list[dict[str, Any]]:
    """`runs` runs after one that does not count: it fills caches and writes byte code. Raises as `measure_once`."""
    taken = []
    for number in range(runs + 1):
        taken.append(measure_once())
        progress(number)
    return rows_of(taken[1:])
