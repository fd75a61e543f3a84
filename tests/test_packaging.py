"""The systemd units are what systemd understands."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT

pytestmark = pytest.mark.beside

UNITS = sorted((ROOT / "packaging").glob("*.service"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_the_unit(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text().replace("/opt/statelessnf/bin/snf", shutil.which("true") or "")
    copy = tmp_path / unit.name.replace("@.", "@edge.")
    (tmp_path / unit.name).write_text(text)
    copy.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_instances_outlive_the_unit(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert "KillMode=process" in lines
    assert not [line for line in lines if line.startswith(("Protect", "Private"))]
