"""What an instance takes: bounds far above the measured figures, so that only a mistake goes past them.

The figures themselves are for `snf bench footprint`, on a quiet machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from statelessnf.bench.footprint import Bed, bed, rows_of, syn
from statelessnf.bench.process_figures import cpu_seconds, has_mapped, resident

MEGA = 1_000_000
FLOWS = 20_000
FIXED = 20 * MEGA  # tables of a fixed size that the first flows touch


@pytest.fixture(scope="module")
def running() -> Iterator[Bed]:
    """An instance through which a packet has gone."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and AF_XDP")
    subprocess.run(
        [sys.executable, "-m", "statelessnf.cli", "build", "firewall"], check=True, stdout=subprocess.DEVNULL
    )
    with bed() as made:
        made.first_frame()
        yield made


@pytest.mark.root
@pytest.mark.timeout(300)
def test_idle_instance_is_small_and_quiet(running: Bed) -> None:
    own, store = running.idle_shares()
    assert own < 0.10
    assert store < 0.10
    assert resident(running.pid).rest < 150 * MEGA
    assert 50 * MEGA < resident(running.pid).buffers < 120 * MEGA


@pytest.mark.root
@pytest.mark.timeout(300)
def test_it_loads_no_compiler(running: Bed) -> None:
    assert has_mapped(running.pid, "_multiarray_umath")  # it would be seen: NumPy's own is there
    for library in ("llvmlite", "numba", "matplotlib", "_ssl", "zstandard"):
        assert not has_mapped(running.pid, library), library


@pytest.mark.root
@pytest.mark.timeout(300)
def test_cached_flows_are_small(running: Bed) -> None:
    before = resident(running.pid).rest
    running.cache_flows(FLOWS)
    assert FLOWS * 100 < resident(running.pid).rest - before < FIXED + FLOWS * 300


def test_cpu_time_of_a_process() -> None:
    before, began = cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() < began + 0.05:
        pass
    assert cpu_seconds(os.getpid()) - before == pytest.approx(0.05, rel=0.5)


def test_own_memory_is_seen() -> None:
    before = resident(os.getpid())
    taken = bytearray(os.urandom(1)) * (64 * MEGA)
    after = resident(os.getpid())
    assert after.rest - before.rest == pytest.approx(len(taken), rel=0.05)
    assert after.buffers == before.buffers


@pytest.mark.parametrize("number", [0, 1, 16_383, 16_384, 100_000])
def test_syn_is_a_packet(number: int) -> None:
    frame = syn(number)
    assert len(frame) == 60
    packet = Ether(frame)
    assert (packet[TCP].dport, packet[TCP].flags, packet[IP].len) == (80, "S", 40)
    again = packet.copy()
    del again[IP].chksum, again[TCP].chksum
    assert bytes(again) == frame


def test_syns_are_of_different_flows() -> None:
    tuples = {(packet[IP].src, packet[TCP].sport) for packet in (Ether(syn(n)) for n in range(0, 100_000, 97))}
    assert len(tuples) == len(range(0, 100_000, 97))


def test_median_and_bar() -> None:
    runs = [{"start_s": value, "store_mb": 1.0} for value in (0.7, 0.4, 0.45)]
    start, store = rows_of(runs)
    assert (start["median"], start["low"], start["high"], start["met"]) == (0.45, 0.4, 0.7, True)
    assert (store["bar"], store["met"]) == (None, None)
    assert rows_of([{"start_s": 0.51}])[0]["met"] is False
