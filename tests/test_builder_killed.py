"""A builder goes on though who has called it is killed, as an instance may be that is late."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from example_function import Pinhole
from statelessnf import builder
from statelessnf.builder import build
from statelessnf.find import reference_of

pytestmark = pytest.mark.beside

BUILD = """
import sys
from statelessnf.builder import build
from statelessnf.find import find_function
build(find_function(sys.argv[1]))
"""


def test_a_build_whose_caller_is_killed_is_ended_and_done_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance may be killed as it is late: the next one is not to begin anew, beside the builder before it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    folder = builder.cache_folder()
    (folder / "build-left").mkdir()
    with subprocess.Popen([sys.executable, "-c", BUILD, reference_of(Pinhole)]) as caller:
        while (folder / "build-left").exists() or not list(folder.glob("build-*")):
            assert caller.poll() is None
            time.sleep(0.005)
        caller.kill()
    monkeypatch.setattr(builder, "_run_builder", lambda *_: pytest.fail("it is built a second time"))
    made = build(Pinhole)
    assert sorted(path.name for path in folder.iterdir()) == sorted([made.name, "lock"])
