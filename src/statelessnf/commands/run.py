"""`snf run`: one instance in the foreground, a live line a second, a clean stop."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from statelessnf.commands.reload import publish
from statelessnf.commands.run_view import Line
from statelessnf.config import Deployment, load
from statelessnf.engine_start import EngineStart
from statelessnf.errors import SnfError
from statelessnf.instance import Instance, Part, running_instance
from statelessnf.publishing import Publications
from statelessnf.store.url import unix_url

if TYPE_CHECKING:
    from statelessnf.capture import CaptureWriter

PERIOD = 1.0  # seconds between two lines
MOST_DROPS = 100_000  # packets in the file of --capture-drops


def run(
    file: Path, engine_start: EngineStart, *, as_json: bool, capture_drops: Path | None, order: Path | None = None
) -> None:
    """Runs until SIGINT or SIGTERM; `order`: as the orchestrator wants it. Raises SnfError if it cannot start."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # there is nothing to reload yet
    line = Line(as_json)
    deployment, part = (load(file), Part()) if order is None else _under_order(file, order)
    with ExitStack() as stack:
        drops = None if capture_drops is None else stack.enter_context(_drops_file(capture_drops))
        running = running_instance(deployment, line.say, engine_start, part, capture_drops=drops is not None)
        instance = stack.enter_context(running)
        wake = Wake()
        ports = deployment.instance.ports
        assert ports is not None  # running_instance has checked it
        shown = f"{ports.inside} | {ports.outside}, store {deployment.store.address.shown()}"
        line.say(f"{deployment.name}: instance {instance.number} runs {deployment.function_class.name} on {shown}")
        Session(instance, line, drops, wake).watch(file)
    for document in instance.documents():  # what came between the last report and the end
        line.event(document)


def _under_order(file: Path, path: Path) -> tuple[Deployment, Part]:
    from statelessnf.orchestrator.orders import beat_options, ordered, read_order  # here: few instances need it

    order = read_order(path)
    part = Part(order.name, order.revision, beat_options(order.beats))
    return ordered(load(file), order, path), part


def _drops_file(path: Path) -> CaptureWriter:
    from statelessnf.capture import CaptureWriter  # here, as most instances never need it

    return CaptureWriter(path)


class Wake:
    """Turns signals into something to wait for."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.stop = self.reload = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._caught)

    def _caught(self, number: int, _frame: object) -> None:
        self.reload |= number == signal.SIGHUP
        self.stop |= number != signal.SIGHUP
        self.event.set()

    def wait(self, seconds: float) -> None:
        """Until then, or until a signal comes."""
        self.event.wait(seconds)
        self.event.clear()


class Session:
    """What is done once a second while the instance runs."""

    def __init__(self, instance: Instance, line: Line, drops: CaptureWriter | None, wake: Wake) -> None:
        self._instance, self._line, self._drops, self._wake = instance, line, drops, wake

    def watch(self, file: Path) -> None:
        """Until a signal says stop. SIGHUP publishes the rules of `file`; a fault in it changes nothing."""
        due = time.monotonic() + PERIOD
        while not self._wake.stop:
            self._wake.wait(max(0.0, due - time.monotonic()))
            if self._wake.reload:
                self._wake.reload = False
                self._reload(file)
            if time.monotonic() >= due:
                due += PERIOD
                self._report()
        self._report()
        self._line.end()

    def _report(self) -> None:
        engine = self._instance.engine
        for document in self._instance.documents():
            self._line.event(document)
        if self._drops is not None:
            now = time.time_ns()
            for _, _, _, frame in engine.dropped():
                if self._drops.packets < MOST_DROPS:
                    self._drops.write(now, frame)
        self._line.show(self._instance.document())

    def _reload(self, file: Path) -> None:
        try:
            deployment = load(file)
            url = deployment.store.address
            if url.kind == "memory":
                self._instance.use_file(deployment)
                return
            if url.kind == "embedded":
                url = unix_url(str(deployment.run_directory / "store.sock"))
            with closing(Publications(url, deployment.name)) as publications:
                publish(publications, deployment)
        except SnfError as error:
            self._line.say(f"not reloaded: {error.line()}")
