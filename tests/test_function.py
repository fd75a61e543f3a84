"""The contract of a function class, the plain form and its guard, and how functions are found."""

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from example_function import NO_FLOW, RULE, Pinhole
from statelessnf.errors import ConfigError, FunctionError
from statelessnf.fields import Elements, Fields
from statelessnf.find import find_function, reference_of
from statelessnf.function import (
    MAX_LIFETIME,
    Function,
    Outcome,
    known_verdict,
    plain_tables,
    run_plain,
    table_arrays,
)
from statelessnf.packet import DROP, FORWARD, INBOUND, PACKET, PARK, RST, SYN, TCP, UDP, drop_as, event

pytestmark = pytest.mark.beside

GOOD = np.dtype([("state", "u1"), ("count", "<u4")])


class Denier:
    def classify(self, packet: Any) -> int:
        return 0


def make(**attributes: Any) -> type[Function]:
    def process(packet: Any, record: Any, tables: Any) -> int:
        return FORWARD

    def lifetime(record: Any, tables: Any) -> int:
        return 1

    body = {"name": "made", "record": GOOD, "process": staticmethod(process), "lifetime": staticmethod(lifetime)}
    return type("Made", (Function,), body | attributes)


def run(function: type[Function], record: Any = None, services: Any = None, **fields: Any) -> Outcome:
    packet = np.zeros(1, PACKET)
    for name, value in fields.items():
        packet[name] = value
    record = np.zeros(1, function.record)[0] if record is None else record
    tables = plain_tables(function, table_arrays(function, function.Config()), services)
    return run_plain(function, packet[0], record, tables)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"name": "two words"}, "identifier"),
        ({"record": np.dtype("u4")}, "structured"),
        ({"record": np.dtype([("count", "<u4"), ("state", "u1")])}, "first field"),
        ({"record": np.dtype([("state", "u2")])}, "first field"),
        ({"record": np.dtype([("state", "u1"), ("count", "<u4")], align=True)}, "packed"),
        ({"record": np.dtype([("state", "u1"), ("thing", "O")])}, "'thing' must be an integer"),
        ({"record": np.dtype([("state", "u1"), ("rate", "<f8")])}, "'rate' must be an integer"),
        ({"record": np.dtype([("state", "u1"), ("big", ">u4")])}, "'big' must be an integer"),
        ({"record": np.dtype([("state", "u1"), ("grid", "u1", (2, 2))])}, "'grid' must be an integer"),
        ({"record": np.dtype([("state", "u1"), ("data", "u1", (96,))])}, "97 bytes"),
        ({"drop_reasons": ("a", "a")}, "different"),
        ({"drop_reasons": tuple(f"r{i}" for i in range(17))}, "16"),
        ({"drop_reasons": ["a"]}, "tuple"),
        ({"events": ("not good",)}, "identifiers"),
        ({"keyed": ("grid",)}, "'grid', which is no field"),
        ({"Config": dict}, "pydantic"),
        ({"table_types": {"services": GOOD}}, "services"),
        ({"table_types": {"rules": np.dtype("u4")}}, "structured"),
        ({"process": lambda packet, record, tables: FORWARD}, "staticmethod"),
        ({"lifetime": Function.__dict__["lifetime"]}, "does not define `lifetime`"),
    ],
)
def test_broken_contract_is_refused(attributes: dict[str, Any], said: str) -> None:
    with pytest.raises(FunctionError, match=said):
        make(**attributes)


def test_missing_name_and_record_are_refused() -> None:
    with pytest.raises(FunctionError, match="no `name`"):
        type("Nameless", (Function,), {"record": GOOD})


def test_tables_must_be_as_declared() -> None:
    kind = np.dtype([("number", "<u2")])
    wrong: list[dict[str, Any]] = [{}, {"other": np.zeros(1, kind)}, {"ports": np.zeros(1, "u2")}]
    for arrays in [*wrong, {"ports": np.zeros((1, 1), kind)}]:
        function = make(table_types={"ports": kind}, tables=staticmethod(lambda config, arrays=arrays: arrays))
        with pytest.raises(FunctionError, match="tables"):
            table_arrays(function, function.Config())


def test_pinhole_in_plain_python() -> None:
    assert run(Pinhole, protocol=UDP, direction=INBOUND).verdict == drop_as(NO_FLOW)
    opened = run(Pinhole, protocol=TCP, tcp_flags=SYN, sequence=7)
    assert (opened.verdict, opened.lifetime, opened.fault) == (FORWARD, 300_000, False)
    assert opened.record["highest"][0] == 7
    answered = run(Pinhole, opened.record[0], protocol=TCP, direction=INBOUND, tcp_flags=RST, sequence=8)
    assert (answered.verdict, answered.lifetime) == (FORWARD, 1_000)
    assert run(Pinhole, protocol=UDP, services=Denier()).verdict == drop_as(RULE)


def test_fault_restores_record_and_voids_effects() -> None:
    def process(packet: Any, record: Any, tables: Any) -> int:
        record.count, packet.ttl = 9, 9
        event(packet, 1, 1)
        return int(tables.nothing)

    packet, record = np.zeros(1, PACKET), np.array([(1, 5)], GOOD)
    function = make(process=staticmethod(process))
    outcome = run_plain(function, packet[0], record[0], plain_tables(function, {}))
    assert (outcome.verdict, outcome.lifetime, outcome.fault) == (DROP, 0, True)
    assert outcome.record == record
    assert record["count"] == 5
    assert (packet["effect_count"][0], packet["ttl"][0]) == (0, 9)


@pytest.mark.parametrize("verdict", [3, -1, 255, drop_as(0), drop_as(-2), FORWARD | 1 << 8, 1 << 16, "no number", None])
def test_unknown_verdict_is_a_fault(verdict: Any) -> None:
    assert run(make(process=staticmethod(lambda packet, record, tables: verdict))).fault


def test_known_verdicts() -> None:
    function = make(drop_reasons=("one", "two"))
    assert all(known_verdict(function, verdict) for verdict in (DROP, FORWARD, PARK, drop_as(0), drop_as(1)))
    assert not known_verdict(function, drop_as(2))


@pytest.mark.parametrize("milliseconds", [-1, MAX_LIFETIME + 1])
def test_impossible_lifetime_is_a_fault(milliseconds: int) -> None:
    assert run(make(lifetime=staticmethod(lambda record, tables: milliseconds))).fault
    assert not run(make(lifetime=staticmethod(lambda record, tables: MAX_LIFETIME))).fault


def test_tables_cannot_be_written() -> None:
    kind = np.dtype([("number", "<u2")])

    def process(packet: Any, record: Any, tables: Any) -> int:
        tables.ports[0].number = 1
        return FORWARD

    arrays = {"ports": np.zeros(1, kind)}
    function = make(
        table_types={"ports": kind}, tables=staticmethod(lambda config: arrays), process=staticmethod(process)
    )
    assert run(function).fault
    assert arrays["ports"]["number"][0] == 0


@given(value=st.integers(-(2**70), 2**70), kind=st.sampled_from(("u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8")))
def test_fields_read_integers_and_cut_what_is_written(value: int, kind: str) -> None:
    array = np.zeros(1, [("one", kind), ("many", kind, (2,))])
    fields = Fields(array[0])
    fields.one = value
    fields.many[1] = value
    width = np.dtype(kind).itemsize * 8
    expected = value % 2**width
    if kind.strip("<")[0] == "i" and expected >= 2 ** (width - 1):
        expected -= 2**width
    assert type(fields.one) is int
    assert (fields.one, list(fields.many), len(fields.many)) == (expected, [0, expected], 2)
    assert array["one"][0] == expected


def test_fields_refuse_what_is_no_integer_and_no_field() -> None:
    fields = Fields(np.zeros(1, GOOD)[0])
    with pytest.raises(TypeError):
        fields.count = 1.5
    with pytest.raises(AttributeError, match="no field 'other'"):
        fields.other = 1
    with pytest.raises(AttributeError, match="no field 'other'"):
        _ = fields.other
    with pytest.raises(IndexError):
        _ = Elements(np.zeros(3, GOOD))[3]
    assert [element.count for element in Elements(np.ones(2, GOOD))] == [1, 1]
    assert "count=0" in repr(fields)


def test_functions_are_found_by_file_and_by_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(__file__).with_name("example_function.py")
    by_file = find_function(f"{file}:Pinhole")
    assert by_file.name == "pinhole"
    assert find_function(f"{file}:Pinhole") is by_file
    assert find_function(reference_of(by_file)) is by_file
    assert find_function("example_function:Pinhole") is Pinhole
    assert reference_of(Pinhole) == "example_function:Pinhole"
    (tmp_path / "next_door.py").write_text("from example_function import Pinhole\nLIMIT = 1\n")
    (tmp_path / "mine.py").write_text("from next_door import LIMIT, Pinhole\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert find_function(f"{tmp_path}/mine.py:Pinhole") is Pinhole


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("no_such_module:Thing", "no module 'no_such_module'"),
        ("/nowhere/file.py:Thing", "no such Python file"),
        ("example_function:Missing", "no Function class 'Missing'"),
        ("example_function:NEW", "no Function class 'NEW'"),
        ("statelessnf.function:Function", "no Function class"),
    ],
)
def test_unknown_reference_is_refused(reference: str, said: str) -> None:
    with pytest.raises(FunctionError, match=said):
        find_function(reference)


def test_unknown_plain_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="no_such_function"):
        find_function("no_such_function")


def test_a_file_with_errors_is_refused_and_not_remembered(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("1 / 0\n")
    for _ in range(2):
        with pytest.raises(FunctionError, match="ZeroDivisionError"):
            find_function(f"{file}:Thing")


def test_a_local_class_has_no_reference() -> None:
    class Local(Pinhole):
        table_types: ClassVar = Pinhole.table_types

    with pytest.raises(FunctionError, match="top of a module"):
        reference_of(Local)


def test_numba_is_not_loaded() -> None:
    modules = "builder, compiled, fields, find, function, packet, reach, sequence"
    code = f"import sys; from statelessnf import {modules}; print('numba' in sys.modules, 'llvmlite' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_event_in_plain_python_writes_the_engines_record() -> None:
    packet = np.zeros(1, PACKET)
    assert event(Fields(packet[0]), 1, 2)
    assert (packet["effects"][0, 0], packet["effect_count"][0]) == (0x02010002, 1)
