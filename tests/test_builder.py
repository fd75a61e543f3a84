"""Built functions: both forms agree, faults stay within their packet, keys see every change, objects need no Python."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from example_function import BEHIND, NO_FLOW, PROTOCOL, Pinhole
from forms import assert_forms_agree, compare
from statelessnf import builder
from statelessnf.builder import build, build_key
from statelessnf.compiled import Array, jobs_for, run_compiled, run_jobs
from statelessnf.errors import BuildError
from statelessnf.find import find_function
from statelessnf.function import Function, Outcome, table_arrays
from statelessnf.native import compile_function
from statelessnf.packet import DROP, FORWARD, OUTBOUND, PACKET, SYN, TCP, UDP, drop_as

pytestmark = pytest.mark.beside

HEAD = """
import enum
import numpy as np
from typing import ClassVar
from statelessnf.function import Function, classify
from statelessnf.packet import *
class Mine(Function):
    name = "mine"
    record = np.dtype([("state", "u1"), ("value", "<u8"), ("list", "<u4", (4,))])
    drop_reasons = ("one",)
    table_types: ClassVar = {"rows": np.dtype([("value", "<u8")])}
    @staticmethod
    def tables(config):
        return {"rows": np.array([(10,), (20,), (30,), (40,)], Mine.table_types["rows"])}
    @staticmethod
    def lifetime(record, tables):
        return record.state
    @staticmethod
    def process(packet, record, tables):
"""


@pytest.fixture(autouse=True)
def _fresh_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules that a test writes are forgotten after it, and can be found from the builder process during it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("statelessnf_file_") or name == "neighbour":
            del sys.modules[name]


def load(folder: Path, body: str, above: str = "") -> type[Function]:
    """The class `Mine` with `body` as the lines of its `process`; `above` stands before the class."""
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    number = len(list(folder.glob("mine*.py")))
    file = folder / f"mine{number}.py"
    file.write_text(HEAD.replace("class Mine", f"{above}\nclass Mine") + lines)
    return find_function(f"{file}:Mine")


def burst(function: type[Function], columns: dict[str, list[int]], chain: bool = False) -> tuple[list[Outcome], Array]:
    """Outcomes of a burst on empty records, and the packets after it. `columns`: values of packet fields."""
    packets = np.zeros(len(next(iter(columns.values()))), PACKET)
    for name, values in columns.items():
        packets[name] = values
    records = np.zeros(len(packets), function.record)
    arrays = table_arrays(function, function.Config())
    return run_compiled(build(function), function, packets, records, arrays, chain=chain), packets


def test_forms_of_the_example_agree() -> None:
    assert_forms_agree(Pinhole, Pinhole.Config())


def test_verdicts_effects_and_lifetimes_of_a_burst() -> None:
    columns = {"protocol": [UDP, TCP, 1, UDP], "direction": [1, 0, 0, 0], "tcp_flags": [0, SYN, 0, 0]}
    outcomes, packets = burst(Pinhole, columns)
    assert [o.verdict for o in outcomes] == [drop_as(NO_FLOW), FORWARD, drop_as(PROTOCOL), FORWARD]
    assert [o.lifetime for o in outcomes] == [30_000, 300_000, 30_000, 30_000]
    assert [list(p["effects"][: p["effect_count"]]) for p in packets] == [
        [0x01000000],
        [0x02000001, 0x03000001],
        [],
        [0x02000001, 0x03000001],
    ]


def test_a_job_continues_on_the_record_of_the_one_before() -> None:
    sequence = [100_000, 200_000, 1_000, 200_001]
    columns = {"protocol": [TCP] * 4, "tcp_flags": [SYN] * 4, "sequence": sequence}
    outcomes, _ = burst(Pinhole, columns, chain=True)
    assert [o.verdict for o in outcomes] == [FORWARD, FORWARD, drop_as(BEHIND), FORWARD]
    assert [int(o.record["highest"][0]) for o in outcomes] == [100_000, 200_000, 200_000, 200_001]


@pytest.mark.parametrize("ask", [False, True])
def test_a_job_says_whether_the_record_changed_and_only_then_its_lifetime(ask: bool) -> None:
    packets, after = np.zeros(4, PACKET), np.zeros(4, Pinhole.record)
    packets["protocol"], packets["tcp_flags"], packets["sequence"] = TCP, SYN, [5, 5, 6, 6]
    jobs = jobs_for(packets, np.zeros(4, Pinhole.record), after, chain=True, ask=ask)
    run_jobs(build(Pinhole), Pinhole, jobs, table_arrays(Pinhole, Pinhole.Config()))
    assert list(jobs["changed"]) == [1, 0, 1, 0]
    assert list(jobs["lifetime"]) == [300_000, 300_000 * ask, 300_000, 300_000 * ask]
    assert list(jobs["verdict"]) == [FORWARD] * 4


def test_a_change_is_seen_wherever_it_is(tmp_path: Path) -> None:
    """Whole words of the record, and the rest behind them."""
    function = load(tmp_path, "record.list[packet.frame_length] = 1\nreturn FORWARD")
    size = len(np.zeros(1, function.record)[0]["list"])
    packets, after = np.zeros(size, PACKET), np.zeros(size, function.record)
    packets["frame_length"] = range(size)
    jobs = jobs_for(packets, np.zeros(size, function.record), after)
    run_jobs(build(function), function, jobs, table_arrays(function, function.Config()))
    assert list(jobs["changed"]) == [1] * size


FAULTY = """record.state, record.value = 1, packet.now
event(packet, 1, 1)
if packet.ttl == 1:
    raise ValueError("no")
if packet.ttl == 2:
    record.list[packet.frame_length] = 1
if packet.ttl == 3:
    return 8
if packet.ttl == 4:
    return drop_as(1)
if packet.ttl == 5:
    return packet.mss // packet.window + 0
if packet.ttl == 6:
    return PARK
record.value = tables.rows[packet.payload_length].value
return FORWARD"""


def test_faults_stay_within_their_packet(tmp_path: Path) -> None:
    function = load(tmp_path, FAULTY)
    index = [3, 4, 0, 100_000_000, 0, 0, 0, 0, 0, 0, 2]
    ttl = [0, 0, 1, 0, 2, 2, 3, 4, 5, 6, 0]
    frame_length = [0, 0, 0, 0, 4, 100_000_000, 0, 0, 0, 0, 0]
    columns = {"now": [7] * 11, "payload_length": index, "ttl": ttl, "frame_length": frame_length}
    outcomes, packets = burst(function, columns, chain=True)
    assert [o.fault for o in outcomes] == [False, *[True] * 9, False]
    assert [o.verdict for o in outcomes] == [FORWARD, *[DROP] * 9, FORWARD]
    assert [int(o.record["value"][0]) for o in outcomes] == [40] * 10 + [30]
    assert [o.lifetime for o in outcomes] == [1, *[0] * 9, 1]
    assert list(packets["effect_count"]) == [1, *[0] * 9, 1]


def test_forms_agree_on_faults(tmp_path: Path) -> None:
    function = load(tmp_path, FAULTY)
    for ttl in range(8):
        for index in (0, 3, 4, 100_000_000):
            packets = np.zeros(2, PACKET)
            packets["ttl"], packets["payload_length"], packets["frame_length"] = ttl, index, index
            record = np.ones(1, function.record)
            compare(function, build(function), packets, record, table_arrays(function, function.Config()), None)


def test_the_harness_sees_a_difference(tmp_path: Path) -> None:
    function = load(tmp_path, "record.value = 1 if packet.sequence - packet.sack < 0 else 2\nreturn FORWARD")
    with pytest.raises(AssertionError, match="compiled"):
        assert_forms_agree(function, function.Config())


def test_the_harness_sees_a_packet_that_is_rewritten_otherwise(tmp_path: Path) -> None:
    function = load(tmp_path, "packet.ttl = 1 if packet.sequence - packet.sack < 0 else 2\nreturn FORWARD")
    packets, record = np.zeros(1, PACKET), np.zeros(1, function.record)
    arrays, built = table_arrays(function, function.Config()), build(function)
    compare(function, built, packets, record, arrays, None)
    packets["sack"] = 1
    with pytest.raises(AssertionError, match="ttl=2"):
        compare(function, built, packets, record, arrays, None)


def test_the_harness_sees_a_changed_table(tmp_path: Path) -> None:
    function = load(tmp_path, "for i in range(len(tables.rows)):\n    tables.rows[i].value = 1\nreturn FORWARD")
    with pytest.raises(AssertionError):
        assert_forms_agree(function, function.Config())


def test_helpers_enums_and_tuples_of_any_module_are_compiled(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text(
        "import enum\nclass State(enum.IntEnum):\n    NEW = 0\n    OLD = 3\nSTEPS = (5, 6)\n"
        "def more(value, by=2):\n    return value + by\ndef twice(value):\n    return more(more(value))\n"
    )
    body = "record.state = State.OLD\nrecord.value = twice(STEPS[1]) + min(1, packet.ttl)\nreturn FORWARD"
    function = load(tmp_path, body, above="from neighbour import *")
    outcomes, _ = burst(function, {"ttl": [9]})
    assert outcomes[0].record[0].tolist()[:2] == (3, 11)
    assert_forms_agree(function, function.Config(), examples=20)


@pytest.mark.parametrize(
    ("body", "above", "said"),
    [
        ("a = np.zeros(4, np.uint32)\nreturn int(a[packet.ttl])", "", "makes an array"),
        ("return [FORWARD, DROP][packet.ttl]", "", "makes an array"),
        ("print(packet.ttl)\nreturn FORWARD", "", "Python run-time"),
        ("return np.random.randint(2)", "", "Python run-time"),
        ("return packet.nothing", "", "nothing"),
        ("return missing(packet)", "", "'missing' is not defined"),
        ("return None", "", "must give a verdict on every path, not none"),
        ("record.value = packet.mss / 2\nreturn FORWARD", "", "mine0.py:[0-9]+: .* makes a float"),
        ("record.value = packet.now if packet.ttl else 0\nreturn FORWARD", "", "makes a float"),
        ("return 1.5", "", "makes a float"),
        ("if packet.ttl:\n    return FORWARD", "", "must give a verdict on every path"),
        ("return enum.auto()", "", "uses the module 'enum'"),
        ("return Mine.lifetime(record, tables)", "", "uses the class 'Mine'"),
        ("return NUMBERS[0]", "NUMBERS = [1, 2]", "uses 'NUMBERS', a list"),
        ("return NUMBERS[0]", "NUMBERS = np.arange(3)", "belong into tables"),
        ("return f(1)", "def f(n):\n    return n and f(n - 1)", "calls itself"),
        (
            "return f(1)",
            "def outer(a):\n    def f(n):\n        return n + a\n    return f\nf = outer(1)",
            "surrounding",
        ),
        ("return f(1)", "def f(n, names=['a']):\n    return n", "default"),
        ("return packet.ttl +", "", "SyntaxError"),
    ],
)
def test_what_cannot_be_compiled_is_refused_in_one_line(tmp_path: Path, body: str, above: str, said: str) -> None:
    with pytest.raises(Exception, match=said) as caught:
        compile_function(load(tmp_path, body, above), tmp_path / "function.so")
    message = str(caught.value)
    assert type(caught.value).__name__ in ("BuildError", "FunctionError")
    assert "\n" not in message
    assert len(message) < 600
    assert "mine0.py" in message


def test_the_line_of_a_type_error_is_told(tmp_path: Path) -> None:
    function = load(tmp_path, "record.state = 1\nrecord.value = packet.effects + record\nreturn FORWARD")
    line = Path(sys.modules[function.__module__].__file__ or "").read_text().split("packet.effects")[0].count("\n") + 1
    with pytest.raises(BuildError, match=rf"mine0\.py:{line}: ") as caught:
        build(function)
    assert "\n" not in str(caught.value)


def test_the_key_sees_every_change(tmp_path: Path) -> None:
    """Helper in another file, constant there, constant here, record, tables, reasons: each gives another key."""
    helper = tmp_path / "neighbour.py"
    body = "return FORWARD if packet.ttl > f(1) else DROP"
    variants = {
        "as it is": ("def f(n):\n    return n + 1\n", "N = 1", body, HEAD),
        "helper": ("def f(n):\n    return n + 2\n", "N = 1", body, HEAD),
        "constant there": ("A = 1\ndef f(n):\n    return n + A\n", "N = 1", body, HEAD),
        "other value": ("A = 2\ndef f(n):\n    return n + A\n", "N = 1", body, HEAD),
        "constant here": ("def f(n):\n    return n + 1\n", "N = 2", body, HEAD),
        "record": (
            "def f(n):\n    return n + 1\n",
            "N = 1",
            body,
            HEAD.replace('("value", "<u8"), (', '("value", "<u4"), ('),
        ),
        "table": (
            "def f(n):\n    return n + 1\n",
            "N = 1",
            body,
            HEAD.replace('("value", "<u8")])}', '("value", "<u4")])}'),
        ),
    }
    file, keys = tmp_path / "mine.py", {}
    for what, (there, here, lines, head) in variants.items():
        helper.write_text(there)
        file.write_text(f"from neighbour import f\n{here}{head}        {lines}\n")
        keys[what] = _key_in_new_process(file)
    assert len(set(keys.values())) == len(variants), keys
    assert _key_in_new_process(file) == keys["table"]


def _key_in_new_process(file: Path) -> str:
    code = "import sys; from statelessnf.find import find_function; from statelessnf.builder import build_key\n"
    code += f"print(build_key(find_function('{file}:Mine')))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip()


def test_a_constant_that_was_replaced_at_run_time_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = build_key(Pinhole)
    assert build_key(Pinhole) == before
    monkeypatch.setattr("example_function.NO_FLOW", 3)
    assert build_key(Pinhole) != before


def test_source_that_changed_after_loading_is_refused(tmp_path: Path) -> None:
    function = load(tmp_path, "return FORWARD", above="N = 1")
    file = tmp_path / "mine0.py"
    key = build_key(function)
    file.write_text(file.read_text().replace("N = 1", "N = 2"))
    with pytest.raises(BuildError, match="changed since it was loaded"), (tmp_path / "lock").open("w") as lock:
        builder._run_builder(function, key, tmp_path / "out.so", lock)


def test_concurrent_builds_make_one_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    runs: list[int] = []
    real = builder._run_builder

    def counted(*arguments: object) -> None:
        runs.append(1)
        real(*arguments)  # type: ignore[arg-type]  # passed through as they came

    monkeypatch.setattr(builder, "_run_builder", counted)
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(build(Pinhole))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 3
    assert len(set(paths)) == len(runs) == 1
    assert sorted(p.name for p in (tmp_path / "statelessnf").iterdir()) == sorted(["lock", paths[0].name])


def test_a_failed_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(BuildError):
        build(load(tmp_path, "return 1.5"))
    assert [p.name for p in (tmp_path / "cache" / "statelessnf").iterdir()] == ["lock"]


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BuildError, match="set XDG_CACHE_HOME"):
        build(Pinhole)


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="apt-get install gcc"):
        build(Pinhole)


LOAD = """
import ctypes, sys, time
before = time.process_time()
library = ctypes.CDLL(sys.argv[1], mode=2)
spent = time.process_time() - before
assert ctypes.c_uint32.in_dll(library, "snf_abi").value == 2
size = ctypes.c_uint32.in_dll(library, "snf_record_size").value
library.snf_burst(ctypes.c_uint64(0), ctypes.c_uint64(0), ctypes.c_uint64(0), ctypes.c_uint64(0))
resident = int(open("/proc/self/statm").read().split()[1]) * 4
print(spent, size, resident, "numba" in sys.modules, "numpy" in sys.modules)
"""


def test_an_object_loads_without_numba_quickly_and_small() -> None:
    """Resolved at once (RTLD_NOW), in a bare interpreter: in 50 ms of CPU and 20 MB with the interpreter's own 10."""
    command = [sys.executable, "-c", LOAD, str(build(Pinhole))]
    spent, size, resident, *modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert float(spent) < 0.05
    assert int(size) == Pinhole.record.itemsize
    assert int(resident) < 20_000
    assert modules == ["False", "False"]


def test_an_object_needs_nothing_of_python() -> None:
    if shutil.which("nm") is None:
        pytest.skip("needs nm (binutils)")
    done = subprocess.run(["nm", "-D", build(Pinhole)], capture_output=True, text=True, check=True)
    symbols = [line.split() for line in done.stdout.splitlines()]
    exported = {symbol[-1] for symbol in symbols if symbol[-2] in "TDBR"}
    assert exported == {"snf_abi", "snf_burst", "snf_classify_pointer", "snf_record_size"}
    assert not [symbol[-1] for symbol in symbols if symbol[-1].startswith(("Py", "_Py", "NRT", "numba"))]


def test_classify_gets_the_packet_and_only_when_asked() -> None:
    class Recorder:
        seen: list[int]

        def classify(self, packet: object) -> int:
            self.seen.append(packet.destination_port)  # type: ignore[attr-defined]  # fields of PACKET
            return 0 if packet.destination_port == 99 else -1  # type: ignore[attr-defined]  # fields of PACKET

    services = Recorder()
    services.seen = []
    packets = np.zeros(3, PACKET)
    packets["protocol"], packets["destination_port"], packets["direction"] = UDP, (80, 99, 7), (OUTBOUND, OUTBOUND, 1)
    arrays = table_arrays(Pinhole, Pinhole.Config())
    outcomes = run_compiled(build(Pinhole), Pinhole, packets, np.zeros(3, Pinhole.record), arrays, services)
    assert [o.verdict for o in outcomes] == [FORWARD, drop_as(2), drop_as(NO_FLOW)]
    assert services.seen == [80, 99]
