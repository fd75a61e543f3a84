"""What an orchestrator says for people about its own place: that it stands by, or may not start anything, and why."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from pathlib import Path
from typing import cast

import pytest

from statelessnf.config import parse_text
from statelessnf.errors import Refused
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.leader import Leadership
from statelessnf.orchestrator.leading import _check_rights
from statelessnf.orchestrator.orchestrate import Orchestrator
from statelessnf.orchestrator.section import orchestration
from statelessnf.orchestrator.state import State

pytestmark = pytest.mark.beside

EXAMPLE = Path(__file__).parent.parent / "examples" / "orchestrated.toml"


class NoLease:
    """A lease that cannot be had."""

    leads = False

    def __init__(self, problem: str) -> None:
        self.problem = problem

    async def look(self) -> bool:
        return False

    async def acquire(self, _patience: float | None) -> None:
        await asyncio.Event().wait()


def test_who_may_not_enter_a_slot_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    section = orchestration(parse_text(EXAMPLE.read_text(), EXAMPLE))
    errors = iter([FileNotFoundError(), PermissionError(1, "Operation not permitted")])

    def enter(_: Namespace) -> None:
        raise next(errors)

    monkeypatch.setattr(Namespace, "entered", enter)
    with pytest.raises(Refused, match=r"may not start instances in a namespace: Operation not permitted"):
        _check_rights(section)


@pytest.mark.parametrize("problem", ["", "the store does not answer"])
def test_who_stands_by_says_why(problem: str) -> None:
    said: list[str] = []

    async def stand_by() -> bool:
        text = EXAMPLE.read_text()
        one = Orchestrator(parse_text(text, EXAMPLE), text, said.append)
        one.stop.set()
        lease, nothing = cast(Leadership, NoLease(problem)), None
        return await one._acquire(lease, cast(State, nothing), cast(Executor, nothing), standby=True)

    assert not asyncio.run(stand_by())
    assert said == ["edge: this orchestrator stands by" + (f": {problem}" if problem else "")]
