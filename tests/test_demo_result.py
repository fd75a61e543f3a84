"""What the demo concludes from its figures: when a run has shown what it is for, what summary and picture say."""

from contextlib import suppress
from pathlib import Path

import pytest

from statelessnf.errors import LabError
from statelessnf.lab.downloads import Ended
from statelessnf.lab.picture import PictureFile, draw
from statelessnf.lab.result import Result, Sample


def sample(time: float, packets: tuple[int, int] = (500, 500), pause: float = 0.01) -> Sample:
    return Sample(time, int(time * 1e6), 2, pause, time, packets, (True, True), int(time * 10), int(time * 5))


def ended(number: int, outcome: str = "ok", time: float = 2.0) -> Ended:
    return Ended(number, outcome, 1_000_000, time, time, 40_000 + number)


def run(baseline: bool = False) -> Result:
    """Two downloads that complete, instance 0 killed after one second."""
    result = Result(baseline, 2, 1_000_000, 5.0, 0, [sample(0.5), sample(1.0), sample(1.5), sample(2.0)])
    result.ended = [ended(0), ended(1)]
    result.killed_at, result.noticed_at, result.steered_at = 1.0, 1.1, 1.102
    return result


def test_stateless_is_shown_when_all_complete_in_spite_of_the_kill() -> None:
    assert run().shows()
    assert run().summary()[-1] == "No download broke: no instance held any state."


def test_stateless_is_not_shown_when_one_breaks() -> None:
    result = run()
    result.ended[1] = ended(1, "reset")
    assert not result.shows()
    assert result.summary()[-1] == "This run did not show what it should."


def test_stateless_is_not_shown_when_a_download_is_missing() -> None:
    result = run()
    result.ended.pop()
    assert not result.shows()


def test_baseline_is_shown_when_downloads_break_after_the_kill() -> None:
    result = run(baseline=True)
    assert not result.shows()
    result.ended[1] = ended(1, "timeout", 6.0)
    assert result.shows()
    assert "died with it" in result.summary()[-1]


def test_baseline_is_not_shown_when_a_download_broke_before_the_kill() -> None:
    result = run(baseline=True)
    result.ended[1] = ended(1, "timeout", 0.9)
    assert not result.shows()


@pytest.mark.parametrize("baseline", [False, True])
def test_nothing_is_shown_without_a_kill(baseline: bool) -> None:
    result = run(baseline)
    result.ended[1] = ended(1, "timeout" if baseline else "ok", 6.0)
    assert result.shows()
    result.steered_at = None
    assert not result.shows()
    result.killed_at = result.noticed_at = None
    assert not result.shows()
    assert any("did not happen" in line for line in result.summary())


@pytest.mark.parametrize("baseline", [False, True])
def test_nothing_is_shown_when_an_instance_had_carried_nothing(baseline: bool) -> None:
    result = run(baseline)
    result.ended[1] = ended(1, "timeout" if baseline else "ok", 6.0)
    result.samples = [sample(0.5, (500, 0)), sample(1.0, (900, 0)), sample(1.5, (900, 700))]
    assert not result.shows()


def test_blackout_is_the_longest_pause_around_the_kill() -> None:
    result = run()
    result.samples = [sample(0.5, pause=0.9), sample(1.0), sample(1.3, pause=0.25), sample(9.0, pause=0.8)]
    assert result.blackout == 0.25
    result.samples.append(sample(9.5, pause=8.4))
    assert result.blackout == 8.4
    result.killed_at = None
    assert result.blackout is None


def test_summary_says_the_figures() -> None:
    result = run()
    result.ended[1] = ended(1, "reset")
    text = "\n".join(result.summary())
    assert "1 of 2 complete" in text
    assert "1 (1 reset); a client gives up after 5 s" in text
    assert "seen 100 ms later, the traffic moved in 2.0 ms" in text
    assert "instance 0: 500, instance 1: 500" in text
    assert "20 reads, 10 commits" in text


def test_document_has_the_figures_and_the_samples() -> None:
    document = run().document()
    assert (document["completed"], document["outcomes"], document["shown"]) == (2, {"ok": 2}, True)
    assert [row["time"] for row in document["samples"]] == [0.5, 1.0, 1.5, 2.0]


def test_picture(tmp_path: Path) -> None:
    with PictureFile(tmp_path / "new" / "demo.png") as picture:
        assert not (tmp_path / "new" / "demo.png").exists()
        picture.write(draw(run()))
    assert (tmp_path / "new" / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["demo.png"]


def test_nothing_is_left_of_a_picture_that_was_not_finished(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), PictureFile(tmp_path / "demo.png"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["/dev/null/demo.png", "/proc/demo.png", "/proc"])
def test_a_place_that_cannot_be_written_is_refused_at_once(place: str) -> None:
    picture = PictureFile(Path(place))
    with pytest.raises(LabError, match=r"cannot write the picture: .*; choose another --output"), picture:
        pytest.fail("it began")
