"""What the demo concludes from its figures: when a run has shown what it is for, what summary and picture say."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from statelessnf.bench.instruments.visits import SliceFigures
from statelessnf.bench.scaling import Run
from statelessnf.bench.scaling import Sample as Load
from statelessnf.bench.subjects.subject import Way
from statelessnf.demo import asymmetry, pictures, scaling
from statelessnf.demo.chronicle import Happening
from statelessnf.demo.failover_result import Result, Sample, Setting
from statelessnf.demo.failover_summary import summary
from statelessnf.demo.picture_file import PictureFile
from statelessnf.demo.play import run_demo
from statelessnf.demo.stage import Request
from statelessnf.errors import LabError
from statelessnf.lab.downloads import Ended

pytestmark = pytest.mark.beside

SETTING = Setting(False, "nftables", "packet", 2, 1_000_000, 5.0)
EVENTS = [
    Happening(-1.0, "live", "one", "its pipes beat"),
    Happening(-0.9, "steer", "", "traffic goes to one, two (1.0 ms)"),
    Happening(1.016, "suspect", "one", "pipe 0 has been silent for 16.0 ms"),
    Happening(1.018, "steer", "", "traffic goes to two (2.0 ms)"),
    Happening(1.1, "end", "one", "killed by SIGKILL"),
    Happening(1.2, "start", "three", "starting on here, slot 0, revision 1"),
    Happening(1.9, "live", "three", "its pipes beat"),
    Happening(1.91, "steer", "", "traffic goes to two, three (2.0 ms)"),
]


def sample(time: float, packets: tuple[int, ...] = (500, 500, 0), pause: float = 0.01) -> Sample:
    return Sample(time, int(time * 1e6), 2, pause, time, packets, int(time * 10), int(time * 5))


def ended(number: int, outcome: str = "ok", time: float = 2.0) -> Ended:
    return Ended(number, outcome, 1_000_000, time, time, 40_000 + number)


def run(baseline: bool = False) -> Result:
    """Two downloads that complete, instance `one` killed after one second."""
    result = Result(replace(SETTING, baseline=baseline), [sample(0.5), sample(1.0), sample(1.5), sample(2.0)])
    result.ended = [ended(0), ended(1)]
    result.killed, result.killed_at, result.events = "one", 1.0, list(EVENTS)
    return result


def test_stateless_is_shown_when_all_complete_in_spite_of_the_kill() -> None:
    assert run().shows()
    assert summary(run())[-1] == "No download broke: no instance held any state."


def test_stateless_is_not_shown_when_one_breaks() -> None:
    result = run()
    result.ended[1] = ended(1, "reset")
    assert not result.shows()
    assert summary(result)[-1] == "This run did not show what it should."


def test_stateless_is_not_shown_when_a_download_is_missing() -> None:
    result = run()
    result.ended.pop()
    assert not result.shows()


def test_baseline_is_shown_when_downloads_break_after_the_kill() -> None:
    result = run(baseline=True)
    assert not result.shows()
    result.ended[1] = ended(1, "timeout", 6.0)
    assert result.shows()
    assert "died with it" in summary(result)[-1]


def test_baseline_is_not_shown_when_a_download_broke_before_the_kill() -> None:
    result = run(baseline=True)
    result.ended[1] = ended(1, "timeout", 0.9)
    assert not result.shows()


@pytest.mark.parametrize("baseline", [False, True])
def test_nothing_is_shown_without_a_kill(baseline: bool) -> None:
    result = run(baseline)
    result.ended[1] = ended(1, "timeout" if baseline else "ok", 6.0)
    assert result.shows()
    result.events = [one for one in result.events if one.kind != "steer"]
    assert not result.shows()
    result.killed_at = None
    assert not result.shows()
    assert any("did not happen" in line for line in summary(result))


@pytest.mark.parametrize("baseline", [False, True])
def test_nothing_is_shown_when_an_instance_had_carried_nothing(baseline: bool) -> None:
    result = run(baseline)
    result.ended[1] = ended(1, "timeout" if baseline else "ok", 6.0)
    result.samples = [sample(0.5, (500, 0, 0)), sample(1.0, (900, 0, 0)), sample(1.5, (900, 700, 0))]
    assert not result.shows()


def test_blackout_is_the_longest_pause_around_the_kill() -> None:
    result = run()
    result.samples = [sample(0.5, pause=0.9), sample(1.0), sample(1.3, pause=0.25), sample(9.0, pause=0.8)]
    assert result.blackout == 0.25
    result.samples.append(sample(9.5, pause=8.4))
    assert result.blackout == 8.4
    result.killed_at = None
    assert result.blackout is None


def test_times_are_those_of_the_orchestrators_events() -> None:
    result = run()
    assert (result.noticed_at, result.steered_at, result.replaced_at) == (1.016, 1.018, 1.9)
    result.killed = "two"
    assert (result.noticed_at, result.steered_at) == (None, None)
    result.killed_at = None
    assert (result.noticed_at, result.steered_at, result.replaced_at) == (None, None, None)


def test_suspicions_are_false_before_the_kill_and_of_others() -> None:
    result = run()
    assert result.false_suspicions == 0
    result.events += [Happening(time, "suspect", name, "") for time, name in ((0.5, "one"), (1.5, "two"), (1.6, "one"))]
    assert result.false_suspicions == 2


def test_summary_says_the_figures() -> None:
    result = run()
    result.ended[1] = ended(1, "reset")
    text = "\n".join(summary(result))
    assert "nftables, spread by packet" in text
    assert "1 of 2 complete" in text
    assert "1 (1 reset); a client gives up after 5 s" in text
    assert "noticed after 16 ms, had moved the traffic after 18 ms, and had a successor after 900 ms" in text
    assert "place 0: 500, place 1: 500, place 2: 0" in text
    assert "20 reads, 10 commits" in text


def test_document_has_the_figures_and_the_samples() -> None:
    document = run().document()
    assert (document["completed"], document["outcomes"], document["shown"]) == (2, {"ok": 2}, True)
    assert [row["time"] for row in document["samples"]] == [0.5, 1.0, 1.5, 2.0]


def test_picture(tmp_path: Path) -> None:
    with PictureFile(tmp_path / "new" / "demo.png") as picture:
        assert not (tmp_path / "new" / "demo.png").exists()
        picture.write(pictures.failover(run()))
    assert (tmp_path / "new" / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["demo.png"]


def scaled(arrived: int, most: int = 2, last: int = 1, *, baseline: bool = False) -> scaling.Result:
    samples = [Load(1.0, 100.0, 100.0, 1), Load(2.0, 200.0, 190.0, most), Load(3.0, 100.0, 100.0, last)]
    whole = Run("stateless", 10_000, 0, arrived, 0.9, 150.0, most, samples)
    scale = Happening(1.1, "scale", "", "from 1 to 2: utilisation 0.98 is above 0.95")
    return scaling.Result(baseline, "nftables", 100.0, 1.0, (1, 2, 1), whole, [scale])


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (scaled(9995), True),
        (scaled(9980), False),
        (scaled(10_000, most=1), False),
        (scaled(10_000, last=2), False),
        (scaled(9980, baseline=True), True),
        (scaled(9995, baseline=True), False),
    ],
)
def test_scaling_is_shown_by_goodput_and_by_coming_and_going(result: scaling.Result, shown: bool) -> None:
    assert result.shows() is shown
    assert (result.summary()[-1] == "This run did not show what it should.") is not shown
    assert "decision    from 1 to 2: utilisation 0.98 is above 0.95" in result.summary()
    assert result.document()["shown"] is shown
    assert pictures.scaled(result).startswith(b"\x89PNG")


def part(way: Way, visits: int, failed: dict[str, int] | None = None, count: int = 1_000_000) -> asymmetry.Part:
    return asymmetry.Part(
        way,
        SliceFigures(1.0, 0, visits, failed or {}, [1.0] * visits, [2.0] * visits, []),
        SliceFigures(1.0, count, 1, {}, [1.0], [1.0], []),
    )


@pytest.mark.parametrize(
    ("other", "baseline", "shown"),
    [
        (part(Way.spray, 90), False, True),
        (part(Way.spray, 10), False, False),
        (part(Way.spray, 90, {"reset": 1}), False, False),
        (part(Way.spray, 90, count=1000), False, False),
        (part(Way.spray, 0), True, True),
        (part(Way.spray, 90), True, False),
    ],
)
def test_asymmetry_is_shown_against_symmetric_routing(other: asymmetry.Part, baseline: bool, shown: bool) -> None:
    result = asymmetry.Result(baseline, "nftables", [part(Way.symmetric, 100), other])
    assert result.shows() is shown
    assert (result.summary()[-1] == "This run did not show what it should.") is not shown
    assert result.document()["shown"] is shown
    assert pictures.asymmetric(result).startswith(b"\x89PNG")


def test_nothing_is_left_of_a_picture_that_was_not_finished(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), PictureFile(tmp_path / "demo.png"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["/dev/null/demo.png", "/proc/demo.png", "/proc"])
def test_a_place_that_cannot_be_written_is_refused_at_once(place: str) -> None:
    picture = PictureFile(Path(place))
    with pytest.raises(LabError, match=r"cannot write the picture: .*; choose another --output"), picture:
        pytest.fail("it began")


def test_without_root_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 65534)
    monkeypatch.setattr("statelessnf.demo.stage.build", lambda _: pytest.fail("it compiles first"))
    with pytest.raises(LabError, match="needs root; run it as root"):
        run_demo("failover", Request(False, True, "nftables", 100, None, True, tmp_path / "demo.png"))
    assert not list(tmp_path.iterdir())
