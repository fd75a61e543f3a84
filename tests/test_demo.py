"""`snf demo --quick` as a user runs it: no download breaks, with local state they do, and Ctrl-C leaves nothing."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from statelessnf.lab.lifetime import FOLDERS
from statelessnf.lab.namespaces import NAMES

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

DEMO = [sys.executable, "-m", "statelessnf.cli", "demo", "--quick"]


def left_by(pid: int) -> list[str]:
    """What the labs of that process have left: namespaces, folders."""
    entries = [entry.name for folder in (NAMES, FOLDERS) if folder.is_dir() for entry in folder.iterdir()]
    return [entry for entry in entries if entry.startswith(f"snf-{pid}-")]


def run_demo(folder: Path, *options: str) -> dict[str, Any]:
    picture = folder / "demo.png"
    command = [*DEMO, "--json", "--output", str(picture), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        output, errors = process.communicate()
    assert (process.returncode, errors) == (0, ""), output
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert left_by(process.pid) == []
    document: dict[str, Any] = json.loads(output)
    assert all(0 < end["time"] <= document["samples"][-1]["time"] for end in document["ended"])
    return document


def test_no_download_breaks_when_an_instance_is_killed(tmp_path: Path) -> None:
    document = run_demo(tmp_path)
    assert (document["completed"], document["outcomes"], document["shown"]) == (20, {"ok": 20}, True)
    samples = document["samples"]
    first, second = samples[-1]["packets"]
    assert first > 1000
    assert second > first
    assert samples[-1]["commits"] >= 20


def test_downloads_die_with_local_state(tmp_path: Path) -> None:
    document = run_demo(tmp_path, "--baseline")
    outcomes = document["outcomes"]
    assert document["shown"] is True
    assert sum(outcomes.values()) == 20
    assert 0 < outcomes["timeout"] < 20


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    command = [*DEMO, "--output", str(tmp_path / "demo.png")]
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
