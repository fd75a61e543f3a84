"""`snf functions`: what it says of a function is what its code says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from statelessnf import cli
from statelessnf.function_options import Option, comments_of, options_of
from statelessnf.functions import function_class, function_names
from statelessnf.networks import NetworkField

pytestmark = pytest.mark.beside


class Inner(BaseModel):
    """What stands
    inside."""

    mode: Literal["one", "two"] = "one"
    network: NetworkField  # of the hosts


class Outer(BaseModel):
    limit: Annotated[int, Field(ge=1, le=9)] = 5  # packets
    least: Annotated[int, Field(ge=2)]
    name: str | None = None
    ports: tuple[int, int] = (1, 99)
    items: tuple[Inner, ...] = ()
    one: Inner | None = None  # at most one


def test_options_are_told_with_kind_default_and_comment() -> None:
    assert options_of(Outer) == [
        Option("limit", "integer 1 to 9", "5", False, "packets"),
        Option("least", "integer from 2", "", True, ""),
        Option("name", "text", "", False, ""),
        Option("ports", "range", '"1-99"', False, ""),
        Option("items", "list of table", "", False, "What stands inside."),
        Option("items[].mode", '"one" or "two"', '"one"', False, ""),
        Option("items[].network", "network", "", True, "of the hosts"),
        Option("one", "table", "", False, "at most one"),
        Option("one.mode", '"one" or "two"', '"one"', False, ""),
        Option("one.network", "network", "", True, "of the hosts"),
    ]


def test_a_model_without_source_has_no_comments() -> None:
    made = type("Made", (BaseModel,), {"__annotations__": {"x": int}})
    assert comments_of(made) == {}


def snf(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[object, str, str]:
    monkeypatch.setattr(sys, "argv", ["snf", "functions", *words])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, *capsys.readouterr()


def test_all_functions_are_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = snf(capsys, monkeypatch)
    assert (code, err) == (0, "")
    assert all(name in out for name in function_names())
    code, out, err = snf(capsys, monkeypatch, "--json")
    assert [entry["name"] for entry in json.loads(out)] == function_names()


@pytest.mark.parametrize("name", function_names())
def test_each_is_explained(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    function = function_class(name)
    code, out, err = snf(capsys, monkeypatch, name)
    assert (code, err) == (0, "")
    assert all(reason in out for reason in function.drop_reasons)
    assert all(f"\n{key} " in out for key in function.Config.model_fields)
    document = json.loads(snf(capsys, monkeypatch, name, "--json")[1])
    assert (document["name"], document["record_bytes"]) == (name, function.record.itemsize)
    assert [o["key"] for o in document["options"] if "." not in o["key"]] == list(function.Config.model_fields)


def test_own_functions_are_explained_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    head = '"""Lets everything pass."""\nimport numpy as np\nfrom statelessnf.function import Function\n'
    body = "class Pass(Function):\n    name = 'passing'\n    record = np.dtype([('state', 'u1')])\n"
    body += "    @staticmethod\n    def process(packet, record, tables):\n        return 1\n"
    body += "    @staticmethod\n    def lifetime(record, tables):\n        return 1\n"
    (tmp_path / "mine.py").write_text(head + body)
    code, out, err = snf(capsys, monkeypatch, f"{tmp_path}/mine.py:Pass")
    assert (code, err) == (0, "")
    assert out.startswith("passing: Lets everything pass.")


@pytest.mark.parametrize(
    ("name", "said"), [("firewal", "did you mean 'firewall'?"), ("/no/where.py:Mine", "no such Python file")]
)
def test_what_there_is_not(
    name: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = snf(capsys, monkeypatch, name)
    assert (code, out) == (1, "")
    assert err.startswith("snf: ")
    assert err.count("\n") == 1
    assert said in err
