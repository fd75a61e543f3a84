"""`snf bench chaos`, `suspicion` and `controller`: rows and bars from known runs, and each once, small."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from statelessnf.bench import chaos, controller, suspicion
from statelessnf.bench.chaos_bed import Harm
from statelessnf.bench.instruments.stream import Gap
from statelessnf.cli_commands import app
from statelessnf.errors import LabError
from statelessnf.lab.orchestra import SwitchKind

TALKS: dict[str, Any] = {"ports": list(range(chaos.TALKS)), "answered": 99, "longest": 0.1, "broken": []}
DONE = chaos.Done(5.0, Harm.kill, "one", 2.0, ())
EVENTS = [{"at": 5.1, "kind": "steer", "instance": "", "text": "traffic goes to two"}]


def story(*, lost_at: float = 5.1, done: chaos.Done = DONE, **changes: Any) -> chaos.Story:
    told = chaos.Story(1, "nftables", 60.0, [done], EVENTS, {"ok": 7}, TALKS, 1000, 9, [Gap(lost_at, 20.0, 9, 20.0)])
    return replace(told, **changes)


@pytest.mark.parametrize(
    ("told", "met"),
    [
        (story(), True),
        (story(lost_at=30.1), False),
        (story(lost_at=30.1, events=[*EVENTS, {"at": 30.1, "kind": "suspect", "instance": "one", "text": ""}]), False),
        (story(done=replace(DONE, harm=Harm.switch, what="all rules of the switch")), False),
        (story(events=[]), False),
        (story(downloads={"ok": 7, "reset": 1}), False),
        (story(talks=TALKS | {"broken": [[1, "reset", 3.0]]}), False),
        (story(talks=TALKS | {"ports": [1]}), False),
        (story(done=replace(DONE, settled_s=None)), False),
        (story(done=replace(DONE, unrecorded=(4711,))), False),
    ],
)
def test_chaos_is_met_only_if_nothing_breaks_or_is_lost_and_all_is_explained(told: chaos.Story, met: bool) -> None:
    assert chaos.rows([told])[0]["met"] is met


@pytest.mark.parametrize(("switch", "harm"), [("nftables", Harm.restart), ("openvswitch", Harm.switch)])
def test_what_cannot_be_done_to_a_switch_is_refused(switch: SwitchKind, harm: Harm) -> None:
    with pytest.raises(LabError, match=f"no harm {harm} with {switch}"):
        chaos.run(switch, [Harm.kill, harm], 1, 1, print)


def test_a_long_loss_is_explained_second_by_second() -> None:
    told = story(gaps=[Gap(4.95, 4000.0, 99, 4000.0), Gap(20.0, 30.0, 0, 30.0)])
    assert told.lossy_seconds == [4, 5, 6, 7, 8]
    assert told.unexplained == [5, 6, 7, 8]


def pair(calm_s: float, harassed_s: float, *, lost: int = 0, **outcomes: int) -> suspicion.Pair:
    calm = suspicion.Slice(calm_s, 1_000_000, {"ok": 10}, 0, 0)
    return suspicion.Pair(calm, suspicion.Slice(harassed_s, 1_000_000, {"ok": 10} | outcomes, 5, lost))


@pytest.mark.parametrize(
    ("pairs", "met"),
    [
        ([pair(1.0, 1.1), pair(1.0, 1.05), pair(1.0, 3.0)], True),  # the median counts
        ([pair(1.0, 1.2)], False),
        ([pair(1.0, 1.0, timeout=1)], False),
        ([pair(1.0, 1.0, lost=1)], False),
    ],
)
def test_suspicion_may_cost_a_tenth_and_nobody(pairs: list[suspicion.Pair], met: bool) -> None:
    assert suspicion.rows(pairs)[0]["met"] is met


def test_the_controller_is_held_against_each_bar() -> None:
    run = controller.Run(100, True, 0.03, [1.0] * 100, [1.0] * 98 + [9.0, 9.0], [4.0])
    assert [row["met"] for row in controller.rows([run])] == [False, True, False, True]


def bench(folder: Path, *arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["bench", *arguments, "--json", "--output", str(folder)], catch_exceptions=False)
    assert (done.exit_code, done.stderr) == (0, "")
    assert (folder / f"{arguments[0]}.png").read_bytes().startswith(b"\x89PNG")
    document: dict[str, Any] = json.loads((folder / f"{arguments[0]}.json").read_text())
    assert document == json.loads(done.stdout)
    return document


def test_a_controller_of_simulated_instances(tmp_path: Path) -> None:
    size = ("--instances", "20", "--seconds", "0.5", "--trials", "3", "--runs", "1")
    document = bench(tmp_path, "controller", *size)
    (run,) = document["single"]
    assert 0 < run["cpu"] < 1
    assert (len(run["silences_ms"]), len(run["ends_ms"])) == (3, 3)
    assert all(value > -1000 * controller.BEAT for value in run["silences_ms"])


@pytest.mark.root
def test_chaos_breaks_nothing(tmp_path: Path) -> None:
    """A minute: each kind of harm about three times."""
    document = bench(tmp_path, "chaos", "--seconds", "60", "--seed", "3")
    (row,), (told,) = document["rows"], document["single"]
    assert len({one["harm"] for one in told["done"]}) >= 5
    assert (row["broken"], row["unrecorded"], row["unsettled"], row["unexplained"]) == (0, 0, 0, 0), told
    assert row["downloads"] > 0
    assert row["messages"] > chaos.TALKS


@pytest.mark.root
def test_false_suspicion_breaks_and_replaces_nothing(tmp_path: Path) -> None:
    document = bench(tmp_path, "suspicion", "--downloads", "20", "--size", "2000000", "--runs", "1")
    (row,) = document["rows"]
    assert (row["broken"], row["replaced"]) == (0, 0)
    assert row["suspicions_per_s"] > 0
