"""`snf demo --quick` as a user runs it: its three stories, with local state too, and Ctrl-C leaves nothing."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from statelessnf.lab.lifetime import FOLDERS
from statelessnf.lab.open_vswitch import open_vswitch_is_there
from statelessnf.namespaces import NAMES

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

DEMO = [sys.executable, "-m", "statelessnf.cli", "demo"]
NFTABLES = ("--switch", "nftables")


def left_by(pid: int) -> list[str]:
    """What the labs of that process have left: namespaces, folders."""
    entries = [entry.name for folder in (NAMES, FOLDERS) if folder.is_dir() for entry in folder.iterdir()]
    return [entry for entry in entries if entry.startswith(f"snf-{pid}-")]


def run_demo(folder: Path, *options: str) -> dict[str, Any]:
    picture = folder / "demo.png"
    command = [*DEMO, *options, "--quick", "--json", "--output", str(picture)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        output, errors = process.communicate()
    assert (process.returncode, errors) == (0, ""), output
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert left_by(process.pid) == []
    document: dict[str, Any] = json.loads(output)
    assert document["shown"] is True
    return document


def test_no_download_breaks_when_an_instance_is_killed(tmp_path: Path) -> None:
    document = run_demo(tmp_path, "failover")
    setting, samples = document["setting"], document["samples"]
    assert setting["switch"] == ("openvswitch" if open_vswitch_is_there() else "nftables")
    assert (document["completed"], document["outcomes"]) == (20, {"ok": 20})
    assert all(0 < end["time"] <= samples[-1]["time"] for end in document["ended"])
    first, second, _ = samples[-1]["packets"]
    assert first > 1000
    assert second > 1000
    assert document["killed_at"] <= document["noticed_at"] <= document["steered_at"]
    assert document["noticed_at"] - document["killed_at"] < 1
    assert {"start", "live", "steer"} <= {event["kind"] for event in document["events"]}


def test_downloads_die_with_local_state(tmp_path: Path) -> None:
    document = run_demo(tmp_path, "failover", "--baseline", *NFTABLES)
    outcomes = document["outcomes"]
    assert sum(outcomes.values()) == 20
    assert 0 < outcomes["timeout"] < 20


def test_instances_come_and_go_with_the_load(tmp_path: Path) -> None:
    document = run_demo(tmp_path, "scaling", *NFTABLES)
    assert document["run"]["most"] == 2
    assert document["run"]["samples"][-1]["instances"] == 1
    assert {"scale", "steer"} <= {event["kind"] for event in document["events"] if event["time"] > 0}


def test_packets_may_take_any_way(tmp_path: Path) -> None:
    document = run_demo(tmp_path, "asymmetry")
    assert [part["way"] for part in document["parts"]] == ["symmetric", "asymmetric", "spray"]
    assert all(part["connects"]["visits"] > 10 and not part["connects"]["failed"] for part in document["parts"])


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    command = [*DEMO, "--quick", *NFTABLES, "--output", str(tmp_path / "demo.png")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "downloads of" not in process.stdout.readline():
            assert process.poll() is None
        assert left_by(process.pid) != []
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert left_by(process.pid) == []
    assert list(tmp_path.iterdir()) == []
