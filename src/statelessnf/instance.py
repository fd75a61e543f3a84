"""One instance of a deployment: store, compiled function and engine together, and its rules kept up to date.

The store says which rules are in force. An instance that starts offers those of its file; where others are published
already, it takes those. A thread looks once a second: new rules are swapped in between two bursts, and new flows are
refused while the store is nearly full (protocol.md, rule 11).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from statelessnf import _engine
from statelessnf.admission import Admission
from statelessnf.builder import build
from statelessnf.config import Deployment, function_settings
from statelessnf.engine_start import EngineStart
from statelessnf.errors import ConfigError, SnfError, StartFailed, StoreError
from statelessnf.neighbour_options import neighbour_options
from statelessnf.pipe_options import pipe_options, tables_of
from statelessnf.ports import check_ports
from statelessnf.publishing import Publications, Published
from statelessnf.store_access import OpenStore, open_store

PERIOD = 1.0  # seconds between two looks at the store
CAPTURED = 4096  # dropped frames kept until they are taken

Say = Callable[[str], None]  # one line for the operator


class Instance:
    """A running instance; made by `running_instance`. `number` tells the instances of a deployment apart."""

    def __init__(self, deployment: Deployment, engine: _engine.Instance, say: Say) -> None:
        self.deployment, self.engine = deployment, engine
        self.number = os.urandom(4).hex()
        self.version = 0  # of the rules in force; 0: those of the file, nothing is published
        self._say = say
        self._admission = Admission()

    def use(self, published: Published) -> None:
        """Swaps published rules in. Raises ConfigError if this release cannot read them; then nothing changes."""
        function = self.deployment.function_class
        if published.function != function.name:
            what = f"the deployment's store has rules of function {published.function!r}"
            raise ConfigError(what, self.deployment.name, "use another name for this deployment")
        where = Path(f"rules version {published.version}")
        settings = function_settings(function, published.section, where, self.deployment.inside)
        self.engine.swap_tables(*tables_of(function, settings))
        self.version = published.version

    def use_file(self, deployment: Deployment) -> None:
        """Swaps in the rules of a file that was read again (the baseline has nowhere to publish them)."""
        self.engine.swap_tables(*tables_of(deployment.function_class, deployment.settings))
        self._say("rules of the file are in force")

    def look(self, publications: Publications) -> None:
        """One look at the store. Raises StoreError, ConfigError."""
        self._admit(publications.memory_share())  # first: a full store refuses what follows
        published = publications.current()
        if published is not None and published.version != self.version:
            self.use(published)
            self._say(f"rules version {self.version} are in force")
        publications.announce(self.number, self.version)

    def _admit(self, share: float) -> None:
        before = self._admission.open
        if self._admission.look(share) == before:
            return
        self.engine.admit(self._admission.open)
        what = "new flows are taken again" if self._admission.open else "new flows are dropped (store_full)"
        self._say(f"the store is {share:.0%} full: {what}")


@contextmanager
def running_instance(
    deployment: Deployment, say: Say, engine_start: EngineStart, *, capture_drops: bool
) -> Iterator[Instance]:
    """Starts an instance, stops it in the end. Raises ConfigError, BuildError, StoreError, StartFailed."""
    ports = deployment.instance.ports
    if ports is None:
        do = 'add ports = { inside = "…", outside = "…" }, or use snf replay'
        raise ConfigError("this key is required to run an instance", f"{deployment.path}: instance.ports", do)
    check_ports(ports, deployment.path)
    engine_start.open_ports(ports.inside, ports.outside, deployment.instance.pipes)
    program = build(deployment.function_class)
    with open_store(deployment, deployment.run_directory) as store:
        engine = _engine_of(deployment, program, store, engine_start, capture_drops)
        instance = Instance(deployment, engine, say)
        with _following(instance, store, say):
            engine.start()
            try:
                yield instance
            finally:
                engine.stop()


def _engine_of(
    deployment: Deployment,
    program: Path,
    store: OpenStore | None,
    engine_start: EngineStart,
    capture_drops: bool,
) -> _engine.Instance:
    options = pipe_options(deployment, program, None if store is None else store.access)
    options |= {
        "acl": options["rules"] is not None,
        "threads": threads_for(deployment.instance.threads, deployment.instance.pipes),
        "captured": CAPTURED if capture_drops else 0,
        "neighbours": neighbour_options(deployment),
    }
    try:
        return _engine.Instance(options, engine_start.link())
    except (RuntimeError, MemoryError) as error:
        raise StartFailed(str(error), f"{deployment.path}: instance", "check ports and free memory") from error


def threads_for(wanted: object, pipes: int) -> int:
    """Of each pipe. Two (§5.1) need a processor each, and one must be left for the store and everything else."""
    if isinstance(wanted, int):
        return wanted
    return 2 if len(os.sched_getaffinity(0)) > 2 * pipes else 1


@contextmanager
def _following(instance: Instance, store: OpenStore | None, say: Say) -> Iterator[None]:
    """Rules of the store from now on, by a thread of its own: the store may be slow to answer."""
    if store is None:
        yield
        return
    publications = Publications(store.url, instance.deployment.name)
    function = instance.deployment.function_class.name
    instance.use(publications.offer(function, instance.deployment.section))
    if (stands := publications.current()) is not None and stands.section != instance.deployment.section:
        say(f"rules version {stands.version} from the store are in force, not the file's; to publish those: snf reload")
    publications.announce(instance.number, instance.version)
    stop = threading.Event()
    thread = threading.Thread(target=_look_again, args=(instance, publications, stop, say), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        with suppress(StoreError):
            publications.leave(instance.number)
        publications.close()


def _look_again(instance: Instance, publications: Publications, stop: threading.Event, say: Say) -> None:
    said = ""
    while not stop.wait(PERIOD):
        try:
            instance.look(publications)
            said = ""
        except SnfError as error:
            if error.line() != said:  # once, not every second
                said = error.line()
                say(said)


def stats_of(instance: Instance) -> dict[str, Any]:
    """The engine's statistics, with the version of the rules."""
    return {**instance.engine.stats(), "rules_version": instance.version}
