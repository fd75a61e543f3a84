"""`snf bench failover`, `asymmetry` and `scaling`: rows and bars from known runs, and the commands once, small."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from statelessnf.bench import asymmetry, failover, scaling
from statelessnf.bench.failover_runs import Downloaded, Plan, Trial, run_trial
from statelessnf.bench.instruments.stream import Gap, StreamFigures
from statelessnf.bench.instruments.visits import SliceFigures
from statelessnf.bench.subjects.subject import Failure, Way
from statelessnf.bench.subjects.watch import RateWatch, wanted_size
from statelessnf.cli_commands import app
from statelessnf.errors import LabError
from statelessnf.lab.links import Traffic

PLAN = Plan(downloads=10, size=1000, timeout=20.0, rate=10_000)


def downloaded(side: str, seconds: float, *, blackout: float = 5.0, completed: int = 10) -> Downloaded:
    return Downloaded(side, seconds, {"ok": completed, "reset": 10 - completed}, 0.5, blackout, 3, 1.0)


def measured(*with_s: float, side: str = "stateless", completed: int = 10) -> failover.Measured:
    pairs = [(downloaded(side, 10.0), downloaded(side, one, completed=completed)) for one in with_s]
    return failover.Measured(PLAN, pairs)


@pytest.mark.parametrize(
    ("runs", "met"),
    [
        (measured(11.0, 11.4, 30.0), True),  # the median counts
        (measured(11.4, 11.6, 11.6), False),
        (measured(11.0, 11.0, 11.0, completed=9), False),
        (measured(20.0, side="baseline"), None),
    ],
)
def test_downloads_are_held_against_the_same_ones_without_a_failure(runs: failover.Measured, met: bool | None) -> None:
    (row,) = failover.download_rows(runs)
    assert row.get("met") is met
    assert row["without_s"] == 10.0


def test_half_a_second_more_is_allowed_however_short_the_run_is() -> None:
    pair = (downloaded("stateless", 1.0), downloaded("stateless", 1.45))
    assert failover.download_rows(failover.Measured(PLAN, [pair]))[0]["met"] is True


def trials(side: str, failure: Failure, *gaps: float, lost: int = 3) -> list[Trial]:
    return [Trial(side, failure, gap, lost, 1.0) for gap in gaps]


@pytest.mark.parametrize(
    ("ours", "theirs", "met"),
    [
        (trials("stateless", Failure.kill, 18.0, 19.0, 90.0), [], True),
        (trials("stateless", Failure.kill, 18.0, 21.0, 22.0), [], False),
        (trials("stateless", Failure.kill, 18.0), trials("linux", Failure.kill, 17.0), False),
        (trials("stateless", Failure.stop, 29.0), trials("linux", Failure.stop, 0.0), True),
        (trials("stateless", Failure.move, 40.0, lost=0), [], True),
        (trials("stateless", Failure.move, 0.0, lost=1), [], False),
    ],
)
def test_blackouts_are_held_against_the_bar_and_against_theirs(
    ours: list[Trial], theirs: list[Trial], met: bool
) -> None:
    rows = failover.blackout_rows(failover.Measured(PLAN, [], ours + theirs))
    assert rows[0]["met"] is met
    assert all("met" not in row for row in rows[1:])


def test_the_blackout_beside_downloads_is_a_row_of_its_own() -> None:
    pair = (downloaded("stateless", 1.0, blackout=7.0), downloaded("stateless", 1.0, blackout=12.0))
    (row,) = failover.blackout_rows(failover.Measured(PLAN, [pair]))
    assert (row["where"], row["blackout_ms"], row["quiet_ms"]) == (failover.BESIDE, 12.0, 7.0)


def test_what_a_side_cannot_cope_with_is_left_out() -> None:
    possible = failover.possible(["stateless", "linux"], [Failure.stop, Failure.kill])
    assert ("linux", Failure.stop) in possible
    assert ("stateless", Failure.kill) in possible
    assert [side for side, failure in possible if failure is Failure.kill] == ["stateless", "linux"]


def test_a_blackout_is_the_longest_gap_that_touches_the_time_after_the_failure() -> None:
    gaps = (Gap(1.0, 50.0, 1, 50.0), Gap(2.0, 20.0, 9, 20.0), Gap(2.5, 30.0, 9, 30.0), Gap(9.0, 90.0, 9, 90.0))
    figures = StreamFigures(1000, 100, 90, 0, 0, 1.0, gaps, ())
    assert figures.lost == 10
    assert figures.blackout_ms(2.01, 3.0) == 30.0
    assert figures.blackout_ms(1.5, 2.4) == 20.0
    assert figures.blackout_ms(3.0, 4.0) == 0.0
    assert figures.blackout_ms() == 90.0


def test_a_pause_of_the_sender_is_no_blackout() -> None:
    assert Gap(1.0, 50.0, 0, 49.0).outage_ms == 1.0
    assert Gap(1.0, 50.0, 0, 51.0).outage_ms == 0.0
    assert Gap(1.0, 50.0, 1, 49.0).outage_ms == 50.0


def visits(per_second: int, bytes_: int = 1000) -> SliceFigures:
    return SliceFigures(1.0, bytes_, per_second, {}, [1.0] * per_second, [2.0] * per_second, [])


@pytest.mark.parametrize(("connections", "goodput", "met"), [(90, 950, True), (80, 950, False), (95, 850, False)])
def test_other_ways_are_held_against_the_symmetric_one(connections: int, goodput: int, met: bool) -> None:
    ways = {Way.symmetric: visits(100), Way.asymmetric: visits(connections, goodput)}
    rows = asymmetry.rows(
        [asymmetry.Turn("stateless", ways, {Way.symmetric: visits(1), Way.asymmetric: visits(1, 300)}, ways)] * 3
    )
    assert [row.get("met") for row in rows] == [None, met]
    assert rows[1]["saturated_ratio"] == 0.3  # shown, not held against the bar


def test_a_way_on_which_nothing_comes_has_a_row_too() -> None:
    ways = {Way.symmetric: visits(100), Way.asymmetric: visits(0, 0)}
    row = asymmetry.rows([asymmetry.Turn("linux", ways, ways, ways)])[1]
    assert (row["setup_ratio"], row["connect_p50_ms"]) == (0.0, None)


@pytest.mark.parametrize(("arrived", "most", "met"), [(9995, 2, True), (9985, 2, False), (10_000, 1, False)])
def test_goodput_is_what_arrives_of_what_is_offered_and_growth_has_to_happen(
    arrived: int, most: int, met: bool
) -> None:
    run = scaling.Run("stateless", 10_000, 0, arrived, 1.0, 100.0 if most > 1 else None, most, [])
    assert scaling.rows([run] * 3)[0]["met"] is met


@pytest.mark.parametrize(
    ("rate", "size", "wanted"), [(99, 1, 1), (101, 1, 2), (950, 1, 3), (91, 2, 2), (89, 2, 1), (0, 3, 1), (185, 3, 3)]
)
def test_a_size_follows_the_rate_with_slack_downwards(rate: float, size: int, wanted: int) -> None:
    assert wanted_size(rate, size, most=3, capacity=100) == wanted


def test_a_watcher_that_fails_is_noticed() -> None:
    class Broken:
        def read(self) -> dict[str, Traffic]:
            raise OSError("no such link")

        def close(self) -> None:
            pass

    with RateWatch(Broken, lambda counts: 0, 1, 1.0, lambda size: None) as watch:  # type: ignore[arg-type]
        watch.join()
        with pytest.raises(LabError, match="no such link"):
            watch.check()


def bench(folder: Path, *arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["bench", *arguments, "--json", "--output", str(folder)], catch_exceptions=False)
    assert (done.exit_code, done.stderr) == (0, "")
    assert (folder / f"{arguments[0]}.png").read_bytes().startswith(b"\x89PNG")
    document: dict[str, Any] = json.loads((folder / f"{arguments[0]}.json").read_text())
    assert document == json.loads(done.stdout)
    return document


@pytest.mark.root
def test_fail_over_of_the_linux_firewalls(tmp_path: Path) -> None:
    small = ("--downloads", "40", "--size", "2000000", "--runs", "1", "--trials", "0", "--timeout", "5")
    document = bench(tmp_path, "failover", *small, "--side", "linux")
    assert document["settings"]["tcp_timeout_s"] == 5.0
    (row,) = document["rows"]
    assert (row["complete_without"], row["complete_with"]) == (40, 40)
    (blackout,) = document["blackouts"]
    assert blackout["failure"] == "kill"
    assert 5 < blackout["blackout_ms"] < 1000
    assert blackout["lost"] > 0


@pytest.mark.root
def test_traffic_moves_when_an_instance_of_ours_is_killed() -> None:
    trial = run_trial("stateless", Failure.kill, 2000)
    assert trial.lost > 0
    assert trial.blackout_ms < 1000


@pytest.mark.root
def test_asymmetric_ways_through_the_linux_firewalls(tmp_path: Path) -> None:
    size = ("--size", "100000", "--turns", "1", "--slice-ms", "300")
    symmetric, asymmetric = bench(tmp_path, "asymmetry", *size, "--side", "linux")["rows"]
    assert symmetric["connections_per_s"] > 50
    assert asymmetric["setup_ratio"] < 0.1


@pytest.mark.root
def test_instances_come_and_go_with_the_load(tmp_path: Path) -> None:
    document = bench(tmp_path, "scaling", "--rate", "1000", "--step-s", "1.2", "--runs", "1", "--side", "stateless")
    (row,) = document["rows"]
    assert row["goodput"] > 0.95
    assert row["most"] > 1
    assert row["split_ms"] is not None
    assert document["single"][0]["samples"][-1]["instances"] < row["most"]
