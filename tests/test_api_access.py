"""The file that says where the orchestrator listens: private, whole, gone with it, and believed only if it is right."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from statelessnf.api.access import FILE, Access, announced, new_token, read_access, write_access
from statelessnf.errors import ConfigError, NotRunning, StoreRefused

pytestmark = pytest.mark.beside

ACCESS = Access(api="http://127.0.0.1:8470", token="a-token-for-tests-only")


def test_it_stands_as_long_as_the_orchestrator(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    with announced(directory, ACCESS) as path:
        assert path == directory / FILE
        assert path.stat().st_mode & 0o777 == 0o600
        assert directory.stat().st_mode & 0o777 == 0o700
        assert read_access(directory) == ACCESS
        assert [entry.name for entry in directory.iterdir()] == [FILE]
    assert list(directory.iterdir()) == []


def test_no_other_user_may_read_it_whatever_the_mask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert write_access(tmp_path, ACCESS).stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_another_ones_file_is_left(tmp_path: Path) -> None:
    directory, other = tmp_path / "run", ACCESS.model_copy(update={"token": new_token()})
    with announced(directory, ACCESS):
        write_access(directory, other)
    assert read_access(directory) == other


def test_what_a_killed_one_left_is_replaced(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    (directory / FILE).write_text("half a docu")
    (directory / f".{FILE}.{os.getpid()}").write_text("the other half")
    with announced(directory, ACCESS):
        assert read_access(directory) == ACCESS


def test_a_directory_that_others_can_write(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(StoreRefused, match="open to other users"), announced(directory, ACCESS):
        raise AssertionError("it was announced")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="snf up") as caught:
        read_access(tmp_path)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{",
        '{"api": "http://127.0.0.1:1"}',
        '{"api": "ftp://127.0.0.1:1", "token": "a-token-for-tests-only"}',
        '{"api": "http://me@127.0.0.1:1", "token": "a-token-for-tests-only"}',
        '{"api": "http://127.0.0.1:1/x", "token": "a-token-for-tests-only"}',
        '{"api": "http://127.0.0.1:1", "token": "a-token-for\\r\\nX-Evil: 1"}',
        '{"api": "http://127.0.0.1:1", "token": "short"}',
        '{"api": "http://127.0.0.1:1", "token": "a-token-for-tests-only", "more": 1}',
        "[" * 10_000,
    ],
)
def test_what_is_no_access(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigError, match="no orchestrator's address and token"):
        read_access(tmp_path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(ConfigError, match="cannot read the orchestrator's address"):
        read_access(tmp_path)


def test_tokens_differ_and_do_not_show() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert Access(api=ACCESS.api, token=new_token())
    assert ACCESS.token not in repr(ACCESS)
