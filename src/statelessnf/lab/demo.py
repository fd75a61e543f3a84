"""`snf demo`: downloads through two instances of a firewall, one of which is killed in the middle.

The switch spreads each packet round robin over both instances. When a third of the bytes have arrived one instance gets
a SIGKILL; as soon as its end is seen, all traffic goes to the other. With `baseline` the instances keep their state in
their own memory; then the spread is by flow, since with local state a connection whose packets alternate between two
instances does not even get established.
"""

import json as json_format
import select
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from statelessnf.builder import build
from statelessnf.find import find_function
from statelessnf.lab.downloads import Downloads, Progress, start_downloads
from statelessnf.lab.fleet import start_instances, wait_ready
from statelessnf.lab.instances import Instance, write_deployment
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.picture import PictureFile, draw
from statelessnf.lab.result import Result, Sample
from statelessnf.lab.topology import Topology
from statelessnf.lab.view import View, open_view
from statelessnf.lab.web import answers, make_files, web_server
from statelessnf.orchestrator.steering.steering import Spread

INSTANCES = 2
VICTIM = 0
TIMEOUT = 20.0
QUICK_FILES, QUICK_SIZE, QUICK_TIMEOUT = 20, 5_000_000, 5.0
KILL_AT = 1 / 3  # of all bytes; at 1/2 an instance that is ahead might have finished its flows


def run_demo(baseline: bool, files: int, size: int, quick: bool, json: bool, output: Path) -> int:
    """Run the demo: `files` downloads of `size` bytes each (`quick`: 20 of 5 MB), a picture to `output` (PNG).

    Prints a live view and a summary, with `json` one document instead. Returns 0 if what was to be shown was shown,
    else 1. Raises LabError where root, nginx or nftables is missing, and when an instance does not start.
    """
    if quick:
        files, size = QUICK_FILES, QUICK_SIZE
    result = Result(baseline, files, size, QUICK_TIMEOUT if quick else TIMEOUT, VICTIM)
    with PictureFile(output) as picture:
        with open_view(json) as view, ExitStack() as stack:
            Demo(stack, view, result).run()
        picture.write(draw(result))
    print(json_format.dumps(result.document()) if json else "\n".join(["", *result.summary(), f"picture     {output}"]))
    return 0 if result.shows() else 1


class Demo:
    """One run: everything that it starts is on `stack` and gone when that closes."""

    def __init__(self, stack: ExitStack, view: View, result: Result) -> None:
        self._stack, self._view, self._result = stack, view, result
        self._spread: Spread = "flow" if result.baseline else "packet"
        self._lab = stack.enter_context(Lab())
        view.say(f"network: clients, switch, {INSTANCES} instances, web server, in namespaces {self._lab.name}-*")
        self._topology = stack.enter_context(Topology(self._lab, INSTANCES))
        self._files = make_files(self._lab.folder / "files", result.size, result.files)
        server = self._topology.server_address
        stack.enter_context(web_server(self._topology.server, server, self._lab.folder))
        self._instances = self._start_instances()

    def run(self) -> None:
        """Start the downloads, kill in the middle, and watch until the last one has ended; fills the result."""
        clients, server = self._topology.clients, self._topology.server_address
        for instance in self._instances:
            wait_ready(self._topology, instance, lambda: answers(clients, server, 0.2))
        self._topology.steer(self._spread, range(INSTANCES))
        result, how = self._result, "by flow" if self._result.baseline else "packet by packet"
        what = f"{result.files} downloads of {result.size / 1e6:g} MB"
        self._view.say(f"{what}, spread {how}; a client gives up after {result.timeout:g} s without a byte")
        with closing(self._start_downloads()) as downloads:
            self._watch(downloads)

    def _start_instances(self) -> list[Instance]:
        store = "memory" if self._result.baseline else "embedded"
        self._view.say(f"instances: firewall (compiled now if it is not yet), store {store}")
        build(find_function("firewall"))
        deployment = write_deployment(self._lab.folder, store)
        return start_instances(self._stack, self._topology, deployment)

    def _start_downloads(self) -> Downloads:
        self._before = [traffic.returned_packets for traffic in self._topology.traffic()]
        self._operations = self._store_operations()
        self._began = time.monotonic()
        clients, server = self._topology.clients, self._topology.server_address
        log = self._lab.folder / "downloads.log"
        return start_downloads(clients, server, self._files, self._result.files, self._result.timeout, log)

    def _watch(self, downloads: Downloads) -> None:
        poll = select.poll()
        for descriptor in (downloads.output, *(instance.pidfd for instance in self._instances)):
            poll.register(descriptor, select.POLLIN)
        while not downloads.finished:
            for descriptor, _ in poll.poll():
                if descriptor == downloads.output:
                    self._take(list(downloads.read()), downloads)
                else:
                    poll.unregister(descriptor)
                    self._move_traffic(descriptor)

    def _take(self, reports: list[Progress], downloads: Downloads) -> None:
        """One sample, of the latest report; if several came at once their longest pause counts."""
        result = self._result
        result.ended = [replace(end, time=end.time - self._began) for end in downloads.ended]
        if not reports:
            return
        progress = replace(reports[-1], pause=max(report.pause for report in reports))
        result.samples.append(self._sample(progress))
        if result.killed_at is None and progress.bytes >= KILL_AT * result.files * result.size:
            result.killed_at = self._now()
            self._instances[VICTIM].kill()
            self._view.say(f"{result.killed_at:.1f} s: kill -9 instance {VICTIM}")
        self._view.update(result)

    def _move_traffic(self, pidfd: int) -> None:
        """An instance has ended: the other ones get its traffic. Raises LabError if nobody killed it."""
        result, ended = self._result, next(i for i in self._instances if i.pidfd == pidfd)
        if result.killed_at is None or ended.number != VICTIM:
            raise ended.lost()
        result.noticed_at = self._now()
        self._topology.steer(self._spread, [i for i in range(INSTANCES) if i != VICTIM])
        result.steered_at = self._now()

    def _sample(self, progress: Progress) -> Sample:
        traffic = [
            now.returned_packets - before for now, before in zip(self._topology.traffic(), self._before, strict=True)
        ]
        reads, commits = (now - then for now, then in zip(self._store_operations(), self._operations, strict=True))
        return Sample(
            progress.time - self._began,
            progress.bytes,
            progress.running,
            progress.pause,
            self._now(),
            tuple(traffic),
            tuple(instance.alive for instance in self._instances),
            reads,
            commits,
        )

    def _store_operations(self) -> tuple[int, int]:
        for instance in self._instances:
            instance.read_figures()
        operations = [instance.store_operations() for instance in self._instances]
        return sum(reads for reads, _ in operations), sum(commits for _, commits in operations)

    def _now(self) -> float:
        return time.monotonic() - self._began
