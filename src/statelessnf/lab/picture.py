"""The demo's picture: goodput over time and packets per instance, the kill marked."""

import errno
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from statelessnf.errors import LabError
from statelessnf.lab.result import Result


class PictureFile:
    """A file whose place is tried when the block begins, and which has its name only once it is complete.

    Raises LabError when it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._unfinished = path, path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> Self:
        with self._explained():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self._unfinished.touch()
        return self

    def write(self, content: bytes) -> None:
        """The whole content."""
        with self._explained():
            self._unfinished.write_bytes(content)
            self._unfinished.replace(self._path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unfinished.unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = f"cannot write the picture: {error.strerror}"
            raise LabError(what, str(self._path), "choose another --output") from error


def draw(result: Result) -> bytes:
    """The picture as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    goodput, packets = figure.subplots(2, 1, sharex=True)
    _draw_goodput(goodput, result)
    _draw_packets(packets, result)
    for axes in (goodput, packets):
        _mark_kill(axes, result)
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    return png.getvalue()


def _draw_goodput(axes: Any, result: Result) -> None:
    state = "local state" if result.baseline else "no state in the instances"
    axes.set_title(f"{result.files} downloads of {result.size / 1e6:g} MB, {state}: {result.completed} complete")
    times, rates = _rates([(sample.time, sample.bytes) for sample in result.samples])
    axes.plot(times, [rate * 8 / 1e6 for rate in rates], color="tab:blue")
    axes.set_ylabel("goodput, Mbit/s")


def _draw_packets(axes: Any, result: Result) -> None:
    for i in range(len(result.samples[0].packets)):
        times, rates = _rates([(sample.counted, sample.packets[i]) for sample in result.samples])
        axes.plot(times, [rate / 1e3 for rate in rates], label=f"instance {i}")
    axes.set_ylabel("thousand packets/s")
    axes.set_xlabel("seconds")
    axes.legend(loc="upper right")


def _mark_kill(axes: Any, result: Result) -> None:
    if result.killed_at is not None:
        axes.axvline(result.killed_at, color="tab:red", linestyle="--")
        place = (result.killed_at, 0.04)
        label = f" kill -9 instance {result.killed_instance}"
        axes.annotate(label, place, xycoords=("data", "axes fraction"), color="tab:red")


def _rates(points: Sequence[tuple[float, int]]) -> tuple[list[float], list[float]]:
    """From (time, total): middle times of neighbouring points, and the growth of the total per second between them."""
    pairs = [(a, b) for a, b in pairwise(points) if b[0] > a[0]]
    return [(a[0] + b[0]) / 2 for a, b in pairs], [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs]
