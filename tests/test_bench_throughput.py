"""`snf bench throughput` and `store` end to end, a moment each: every shape gives its rows, JSON and picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import data_file
from statelessnf.bench.slices import median_interval, take_turns
from statelessnf.bench.throughput import counting
from statelessnf.commands.bench import BenchRequest, store, throughput

pytestmark = pytest.mark.usefixtures("short_warm_up")


def test_the_interval_encloses_the_median_and_narrows_with_more_values() -> None:
    few, many = median_interval(range(20)), median_interval(range(1000))
    assert few.low < few.median == 9.5 < few.high
    assert (few.low, few.high) == (5, 14)  # order statistics 6 and 15 of 20: 95.9 %
    assert (many.high - many.low) / 1000 < (few.high - few.low) / 20


class Counted:
    """Counts its slices."""

    def __init__(self) -> None:
        self.slices = 0

    def measure(self) -> float:
        self.slices += 1
        return 1.0

    def forget(self) -> None:
        self.slices = 0


def test_what_happened_before_the_turns_that_count_is_forgotten() -> None:
    one, other, seen = Counted(), Counted(), list[int]()
    take_turns({"one": one.measure, "other": other.measure}, 3, counting([one, other], seen.append))
    assert (one.slices, other.slices, seen) == (3, 3, [0, 1, 2, 3])


def test_every_mode_has_its_row(tmp_path: Path) -> None:
    throughput(BenchRequest(tmp_path, turns=1, slice_ms=10), ["long", "short"], [64], None)
    rows = json.loads((tmp_path / "throughput.json").read_text())["rows"]
    assert {(row["shape"], row["mode"]) for row in rows} == {
        (shape, mode) for shape in ("long", "short") for mode in ("baseline", "off", "tracked")
    }
    assert all(row["mpps"] > 0 and row["ratio_low"] <= row["ratio"] <= row["ratio_high"] for row in rows)
    assert (tmp_path / "throughput.png").read_bytes().startswith(b"\x89PNG")


def test_a_capture_is_a_shape_too(tmp_path: Path) -> None:
    trace = data_file("traces/enterprise.pcap.zst")
    throughput(BenchRequest(tmp_path, turns=1, slice_ms=10), ["enterprise"], [64], trace)
    rows = json.loads((tmp_path / "throughput.json").read_text())["rows"]
    assert {row["mode"] for row in rows} == {"baseline", "off", "tracked"}
    assert all(row["shape"] == "enterprise" and row["mpps"] > 0 for row in rows)


def test_the_store_has_rates_and_latencies(tmp_path: Path) -> None:
    store(BenchRequest(tmp_path, turns=1, slice_ms=10))
    rows = {row["operation"]: row for row in json.loads((tmp_path / "store.json").read_text())["rows"]}
    assert rows["look-ups"]["per_second"] > rows["commits"]["per_second"] > 0
    assert 0 < rows["one look-up"]["p50_us"] <= rows["one look-up"]["p99_us"]
