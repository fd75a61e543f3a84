"""A deployment file whose instances could never be heard is refused before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from statelessnf.config import parse_text
from statelessnf.errors import ConfigError
from statelessnf.orchestrator.section import orchestration

pytestmark = pytest.mark.beside

EXAMPLE = Path(__file__).parent.parent / "examples" / "orchestrated.toml"
BEATS, DRIVER = 'beats = ["192.0.2.1:8471"]', 'driver = "process"'


def checked(*changes: tuple[str, str]) -> None:
    """The example with these changes, whose hosts' slots are on their host itself."""
    text = EXAMPLE.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    orchestration(parse_text(text, EXAMPLE))


@pytest.mark.parametrize(
    ("changes", "who"),
    [
        ([], "namespace slot0"),
        ([(', namespace = "slot0"', ""), (', namespace = "slot1"', "")], "namespace slot2"),
        ([(DRIVER, 'driver = "docker"')], "containers"),
        ([(DRIVER, f'{DRIVER}\naddress = "https://10.0.0.7:8471"\ntoken_file = "/token"')], "another machine"),
    ],
)
def test_beats_cannot_go_to_the_loopback_of_another(changes: list[tuple[str, str]], who: str) -> None:
    said = f"heartbeats from {who} .*cannot reach 127.0.0.1:8471"
    with pytest.raises(ConfigError, match=said) as refused:
        checked((BEATS, 'beats = ["127.0.0.1:8471"]'), *changes)
    assert "orchestrator.beats" in str(refused.value.where)
    checked((BEATS, 'beats = ["127.0.0.1:8471", "192.0.2.1:8471"]'), *changes)


@pytest.mark.parametrize("address", ["", "http://127.0.0.1:8471", "http://localhost:8471"])
def test_they_can_within_a_machine(address: str) -> None:
    here = [(f', namespace = "slot{n}"', "") for n in range(4)]
    reached = (DRIVER, f'{DRIVER}\naddress = "{address}"\ntoken_file = "/token"' if address else DRIVER)
    checked((BEATS, 'beats = ["[::1]:8471"]'), reached, *here)
