"""The NumPy layouts against the compiler's view of the engine's headers, field by field."""

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from statelessnf import abi, function, packet

pytestmark = pytest.mark.beside

ENGINE = Path(__file__).parents[1] / "engine"
MIRRORS = {"PacketRecord": packet.PACKET, "Job": abi.JOB, "Table": abi.TABLE}
CONSTANTS = {
    "function_abi": abi.FUNCTION_ABI,
    "max_record_size": function.MAX_RECORD_SIZE,
    "max_effects": packet.MAX_EFFECTS,
    "no_window_scale": packet.NO_WINDOW_SCALE,
    "function_drop_count": packet.MAX_DROP_REASONS,
    "function_counter_count": packet.MAX_COUNTERS,
    "verdict_drop": packet.DROP,
    "verdict_forward": packet.FORWARD,
    "verdict_park": packet.PARK,
    "Effect::reject": packet.REJECT,
    "Effect::event": packet.EVENT,
    "Effect::count": packet.COUNT,
    "Kind::ordinary": packet.ORDINARY,
    "Kind::icmp_error": packet.ICMP_ERROR,
    "Kind::fragment": packet.FRAGMENT,
    **{f"TcpFlag::{name.lower()}": getattr(packet, name) for name in ("FIN", "SYN", "RST", "PSH", "ACK", "URG")},
}


def fields_of(name: str) -> list[str]:
    """Names of the fields that the headers give to a struct, in order."""
    text = "".join((ENGINE / file).read_text() for file in ("packet.hpp", "function.hpp"))
    body = re.search(rf"struct {name} \{{(.*?)\n\}};", text, re.DOTALL)
    assert body is not None
    plain = re.sub(r"//.*", "", body[1])
    return re.findall(r"(\w+)(?:\[\w+\])?\s*[,;]", plain)


def program() -> str:
    lines = ['#include <cstddef>\n#include <cstdio>\n#include "function.hpp"\nusing namespace snf;\nint main() {']
    for name in MIRRORS:
        lines.append(f'std::printf("{name} size 0 %zu\\n", sizeof({name}));')
        for field in fields_of(name):
            size = f"sizeof({name}::{field})"
            lines.append(f'std::printf("{name} {field} %zu %zu\\n", offsetof({name}, {field}), {size});')
    lines += [f'std::printf("- {name} 0 %lld\\n", (long long){name});' for name in CONSTANTS]
    return "\n".join([*lines, "}"])


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[int, int]]:
    """(struct, field) -> offset, size as the C++ compiler has them; `size` is the struct's own."""
    folder = tmp_path_factory.mktemp("layout")
    source, binary = folder / "layout.cpp", folder / "layout"
    source.write_text(program())
    subprocess.run(["g++", "-std=c++20", f"-I{ENGINE}", source, "-o", binary], check=True)
    lines = subprocess.run([binary], capture_output=True, text=True, check=True).stdout.splitlines()
    return {(a, b): (int(c), int(d)) for a, b, c, d in (line.split() for line in lines)}


@pytest.mark.parametrize("name", MIRRORS)
def test_dtype_is_the_struct(name: str, layout: dict[tuple[str, str], tuple[int, int]]) -> None:
    fields: Any = MIRRORS[name].fields
    mirrored = {field: (offset, dtype.itemsize) for field, (dtype, offset) in fields.items()}
    assert mirrored == {field: place for (struct, field), place in layout.items() if struct == name and field != "size"}
    assert MIRRORS[name].itemsize == layout[name, "size"][1]
    assert all(field[0].base.kind == "u" for field in fields.values())


@pytest.mark.parametrize("name", CONSTANTS)
def test_constant_is_the_engines(name: str, layout: dict[tuple[str, str], tuple[int, int]]) -> None:
    assert layout["-", name] == (0, CONSTANTS[name])


def test_effects_are_bounded() -> None:
    record = np.zeros(1, packet.PACKET).view(np.recarray)[0]
    assert packet.event(record, 0x102, 0x10003)
    assert packet.reject(record)
    assert packet.count(record, 4095)
    assert packet.count(record, 0)
    assert not packet.reject(record), "the fifth does not fit"
    assert record["effect_count"] == 4
    assert list(record["effects"]) == [0x02020003, 0x01000000, 0x03000FFF, 0x03000000]
