"""`snf bench` on real ports, as a user runs it: figures that can be, and nothing left of it however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from statelessnf.bench.slices import median_interval
from statelessnf.commands.bench import BenchRequest
from statelessnf.commands.bench_ports import latency
from statelessnf.errors import LabError
from statelessnf.lab.lifetime import FOLDERS
from statelessnf.namespaces import NAMES

BENCH = [sys.executable, "-m", "statelessnf.cli", "bench"]
MEMIF = ["throughput", "--port", "memif", "--frame-bytes", "64"]
PATIENCE = 30.0  # seconds


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """The command, with its temporary files and results in `folder`."""
    command = [*BENCH, *words, "--output", str(folder / "out")]
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def run(folder: Path, *words: str) -> dict[str, Any]:
    """Its JSON; the same is in its file, and a picture beside it."""
    with start(folder, *words, "--json") as process:
        output, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    document: dict[str, Any] = json.loads(output)
    (file,) = (folder / "out").glob("*.json")
    assert json.loads(file.read_text()) == document
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.suffix for path in (folder / "out").iterdir()) == [".json", ".png"]
    return document


def processes_of(folder: Path) -> list[str]:
    """Command lines, ours aside, that name the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_text(errors="replace").replace("\0", " ")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if str(folder) in words:
                found.append(words)
    return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def left_by(pid: int) -> list[str]:
    """What the labs of that process have left: namespaces, folders."""
    entries = [entry.name for folder in (NAMES, FOLDERS) if folder.is_dir() for entry in folder.iterdir()]
    return [entry for entry in entries if entry.startswith(f"snf-{pid}-")]


def test_long_flows_through_memif(tmp_path: Path) -> None:
    document = run(tmp_path, *MEMIF, "--turns", "3", "--slice-ms", "60")
    assert document["settings"]["port"] == "memif"
    rows = {row["mode"]: row for row in document["rows"]}
    assert list(rows) == ["plain", "baseline", "tracked"]
    assert all(row["mpps"] > 0.01 for row in rows.values())
    assert all(row["ratio_low"] <= row["ratio"] <= row["ratio_high"] for row in rows.values())
    assert (rows["plain"]["ratio"], rows["plain"]["commits_per_flow"], rows["plain"]["reads_per_flow"]) == (1.0, 0, 0)
    # Long flows change their records a few times each, wherever these are; only the store's are read.
    assert 0 < rows["baseline"]["commits_per_flow"] < 100
    assert 0 < rows["tracked"]["commits_per_flow"] < 100
    assert (rows["baseline"]["reads_per_flow"], rows["tracked"]["reads_per_flow"] > 0) == (0, True)
    assert (rows["tracked"]["bar"], rows["tracked"]["paper_mpps"]) == (0.6, 4.6)
    until(lambda: processes_of(tmp_path) == [])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_translated_flows_through_memif(tmp_path: Path) -> None:
    document = run(tmp_path, *MEMIF, "--function", "load_balancer", "--turns", "2", "--slice-ms", "60")
    assert document["settings"]["function"] == "load_balancer"
    rows = {row["mode"]: row for row in document["rows"]}
    assert list(rows) == ["plain", "baseline", "tracked"]
    assert all(row["mpps"] > 0.01 and row["paper_mpps"] is None for row in rows.values())
    assert 0 < rows["tracked"]["commits_per_flow"] < 100
    until(lambda: processes_of(tmp_path) == [])


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left(tmp_path: Path, end: signal.Signals) -> None:
    with start(tmp_path, *MEMIF, "--turns", "1000") as process:
        until(lambda: len(processes_of(tmp_path)) >= 5)  # itself, three sides, the store
        process.send_signal(end)
        output, errors = process.communicate(timeout=PATIENCE)
    codes = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}
    assert (process.returncode, output, errors) == (codes[end], "", "")
    if end is not signal.SIGKILL:
        assert not [words for words in processes_of(tmp_path) if " -m statelessnf.cli" in words or "plain" in words]
        assert list(tmp_path.iterdir()) == []
    until(lambda: processes_of(tmp_path) == [])  # the store, a moment later; after a SIGKILL all of them


def test_an_instance_that_cannot_start_says_why(tmp_path: Path) -> None:
    with start(tmp_path, *MEMIF, "--store", "unix:///nowhere/store.sock") as process:
        output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (1, "")
    assert errors.startswith("snf: ")
    assert "/nowhere/store.sock" in errors
    assert errors.count("\n") == 1
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_memif_is_for_long_flows(tmp_path: Path) -> None:
    with start(tmp_path, *MEMIF, "--shape", "short") as process:
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "long flows" in errors


@pytest.mark.root
def test_latency_over_af_xdp(tmp_path: Path) -> None:
    document = run(tmp_path, "latency", "--turns", "3", "--slice-ms", "100")
    rows = {row["mode"]: row for row in document["rows"]}
    assert list(rows) == ["plain", "baseline", "off", "tracked"]
    for row in rows.values():
        assert 1 < row["p50_us"] <= row["p95_us"] <= row["p99_us"]
        assert 100 < row["samples"] <= 3 * 0.1 * row["packets_per_second"] + 3
    # Without a cache each packet waits for the store.
    assert rows["off"]["p50_us"] > rows["plain"]["p50_us"] + 5
    assert rows["off"]["added_low_us"] <= rows["off"]["added_us"] <= rows["off"]["added_high_us"]
    assert (rows["off"]["bar_us"], rows["tracked"]["bar_us"], rows["plain"]["bar_us"]) == (100, 5, None)
    assert rows["tracked"]["met"] is (rows["tracked"]["added_us"] <= 5)


@pytest.mark.root
def test_latency_of_translated_packets(tmp_path: Path) -> None:
    document = run(tmp_path, "latency", "--function", "nat", "--turns", "2", "--slice-ms", "100")
    assert [row["mode"] for row in document["rows"]] == ["plain", "baseline", "off", "tracked"]
    assert all(1 < row["p50_us"] <= row["p99_us"] and row["samples"] > 100 for row in document["rows"])


@pytest.mark.root
def test_latency_leaves_nothing_after_ctrl_c(tmp_path: Path) -> None:
    with start(tmp_path, "latency", "--turns", "1000") as process:
        until(lambda: len(left_by(process.pid)) >= 6)  # a folder, the generator, four sides
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (130, "")
    assert left_by(process.pid) == []


def test_latency_needs_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="root"):
        latency(BenchRequest(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_interval_of_a_median() -> None:
    assert median_interval([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
    assert median_interval([float(i) for i in range(21)]) == (10.0, 5.0, 15.0)
