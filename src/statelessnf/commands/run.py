"""`snf run`: one instance in the foreground, a live line a second, a clean stop."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from statelessnf.commands.reload import publish
from statelessnf.commands.run_view import Line, figures
from statelessnf.config import load
from statelessnf.engine_start import EngineStart
from statelessnf.errors import SnfError
from statelessnf.instance import Instance, running_instance, stats_of
from statelessnf.publishing import Publications
from statelessnf.store.url import unix_url

if TYPE_CHECKING:
    from statelessnf.capture import CaptureWriter

PERIOD = 1.0  # seconds between two lines
MOST_DROPS = 100_000  # packets in the file of --capture-drops


def run(file: Path, engine_start: EngineStart, *, as_json: bool, capture_drops: Path | None) -> None:
    """Runs until SIGINT or SIGTERM. Raises SnfError if it cannot start."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # there is nothing to reload yet
    line = Line(as_json)
    deployment = load(file)
    with ExitStack() as stack:
        drops = None if capture_drops is None else stack.enter_context(_drops_file(capture_drops))
        running = running_instance(deployment, line.say, engine_start, capture_drops=drops is not None)
        instance = stack.enter_context(running)
        wake = Wake()
        ports = deployment.instance.ports
        assert ports is not None  # running_instance has checked it
        shown = f"{ports.inside} | {ports.outside}, store {deployment.store.address.shown()}"
        line.say(f"{deployment.name}: instance {instance.number} runs {deployment.function_class.name} on {shown}")
        Session(instance, line, drops, wake).watch(file)
    for document in instance.documents():  # what came between the last report and the end
        line.event(document)


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
        self._began = time.monotonic()

    def watch(self, file: Path) -> None:
        """Until a signal says stop. SIGHUP publishes the rules of `file`; a fault in it changes nothing."""
        due = self._began + PERIOD
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
        engine, deployment = self._instance.engine, self._instance.deployment
        for document in self._instance.documents():
            self._line.event(document)
        if self._drops is not None:
            now = time.time_ns()
            for _, _, _, frame in engine.dropped():
                if self._drops.packets < MOST_DROPS:
                    self._drops.write(now, frame)
        document = figures(stats_of(self._instance), deployment.function_class, time.monotonic() - self._began)
        document |= {"deployment": deployment.name, "instance": self._instance.number, **self._instance.figures}
        self._line.show(document | {"store_available": engine.available()})

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
