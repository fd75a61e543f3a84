"""The rules of tests/conftest.py, tried on small test suites: root tests, and the store server that always ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import valkey

from conftest import running_valkey

pytestmark = pytest.mark.beside

pytest_plugins = ["pytester"]

SKIPPED_ROOT_TEST = """
import pytest

@pytest.mark.root
def test_needs_more():
    pytest.skip("no such device")

def test_plain():
    pytest.skip("no test data")
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # of no use here, and a second each time
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text())
    markers = "\n root: needs root\n beside: two at once"
    pytester.makeini(f"[pytest]\nmarkers ={markers}\npythonpath = {Path(__file__).parent}")
    pytester.makepyfile(SKIPPED_ROOT_TEST)
    return pytester


def test_a_skipped_root_test_is_a_skip_by_default(suite: pytest.Pytester) -> None:
    suite.runpytest_subprocess().assert_outcomes(skipped=2)


def test_a_skipped_root_test_fails_under_require_root(suite: pytest.Pytester) -> None:
    suite.runpytest_subprocess("--require-root").assert_outcomes(skipped=1, failed=1)


def test_what_needs_root_runs_beside_nothing(suite: pytest.Pytester) -> None:
    suite.makepyfile("import pytest\n\n@pytest.mark.root\n@pytest.mark.beside\ndef test_both():\n    pass\n")
    assert suite.runpytest_subprocess().ret is pytest.ExitCode.USAGE_ERROR


BESIDE = "import pytest\n\npytestmark = pytest.mark.beside\n"
MIXED = "import pytest\n\n@pytest.mark.beside\ndef test_one():\n    pass\n\ndef test_other():\n    pass\n"
PLAIN = "def test_it():\n    pass\n"


@pytest.mark.parametrize(
    ("options", "passed", "skipped"), [((), 4, 2), (("-m", "beside"), 2, 0), (("-m", "not beside"), 2, 2)]
)
def test_each_test_is_in_one_stage(suite: pytest.Pytester, options: Sequence[str], passed: int, skipped: int) -> None:
    suite.makepyfile(test_pure=BESIDE + PLAIN, test_mixed=MIXED, test_plain=PLAIN)
    suite.runpytest_subprocess(*options).assert_outcomes(passed=passed, skipped=skipped)


@pytest.mark.parametrize(("stage", "content"), [("beside", PLAIN), ("not beside", BESIDE)])
def test_a_file_that_has_nothing_of_a_stage_is_not_read(suite: pytest.Pytester, stage: str, content: str) -> None:
    suite.makepyfile(test_mixed=MIXED, test_broken=content + "1 / 0\n")
    skipped = 2 if stage == "not beside" else 0
    suite.runpytest_subprocess("-m", stage).assert_outcomes(passed=1, skipped=skipped)


def write_and_fail(folder: Path) -> None:
    with running_valkey(folder) as socket, valkey.Valkey(unix_socket_path=str(socket)) as client:
        assert client.set("k", "v")
        raise ZeroDivisionError


def test_server_ends_when_the_test_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_and_fail(tmp_path)
    with valkey.Valkey(unix_socket_path=str(tmp_path / "s")) as client, pytest.raises(valkey.ConnectionError):
        client.ping()


def test_server_that_cannot_start_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="did not answer"), running_valkey(tmp_path, "--no-such-option", "1"):
        pass
