"""One instance of a deployment: store, compiled function and engine together, and its rules kept up to date.

The store says which rules are in force. An instance that starts offers those of its file; where others are published
already, it takes those. A thread looks once a second: new rules are swapped in between two bursts, and new flows are
refused while the store is nearly full (protocol.md, rule 11). What the function wants done besides (duties/) is done
by threads of their own.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from pydantic import BaseModel

from statelessnf import _engine
from statelessnf.admission import Admission
from statelessnf.builder import build
from statelessnf.config import Deployment, function_settings
from statelessnf.duties import Work, duties_of
from statelessnf.duties.duty import Say, running
from statelessnf.engine_start import EngineStart
from statelessnf.errors import ConfigError, StartFailed, StoreError
from statelessnf.events import event_document
from statelessnf.figures import figures
from statelessnf.neighbour_options import neighbour_options, owned_outside
from statelessnf.pipe_options import check_change, pipe_options, tables_of
from statelessnf.ports import check_ports
from statelessnf.publishing import Publications, Published
from statelessnf.store.url import StoreUrl
from statelessnf.store_access import OpenStore, open_store

PERIOD = 1.0  # seconds between two looks at the store
CAPTURED = 4096  # dropped frames kept until they are taken


@dataclass(frozen=True)
class Part:
    """What an orchestrator says of an instance. `beats`: the engine's option of that name."""

    name: str = ""  # "": it takes a number of its own
    revision: int = 0  # of the deployment; 0: nobody counts
    beats: dict[str, Any] | None = None


ALONE = Part()


class Instance:
    """A running instance; made by `running_instance`. `number` tells the instances of a deployment apart.

    It is the `Host` of its duties (duties/duty.py).
    """

    def __init__(self, deployment: Deployment, engine: _engine.Instance, say: Say, part: Part = ALONE) -> None:
        self.deployment, self.engine, self.say = deployment, engine, say
        self.number = part.name or os.urandom(4).hex()
        self.version = 0  # of the rules in force; 0: those of the file, nothing is published
        self.settings = deployment.settings  # the rules in force
        self.figures: dict[str, object] = {"revision": part.revision} if part.revision else {}  # beside the engine's
        self.work = Work([])
        self._found: dict[str, Any] = {}
        self._told: deque[dict[str, Any]] = deque()
        self._swapping = Lock()
        self._admission = Admission()
        self._began = time.monotonic()

    def use(self, published: Published) -> None:
        """Swaps published rules in. Raises ConfigError if this release cannot read them; then nothing changes."""
        function = self.deployment.function_class
        if published.function != function.name:
            what = f"the deployment's store has rules of function {published.function!r}"
            raise ConfigError(what, self.deployment.name, "use another name for this deployment")
        where = Path(f"rules version {published.version}")
        settings = function_settings(function, published.section, where, self.deployment.inside)
        check_change(function, self.deployment.settings, settings, str(where))
        self._swap(settings, {})
        self.version = published.version

    def use_file(self, deployment: Deployment) -> None:
        """Swaps in the rules of a file that was read again (the baseline has nowhere to publish them)."""
        check_change(deployment.function_class, self.settings, deployment.settings, str(deployment.path))
        self._swap(deployment.settings, {})
        self.say("rules of the file are in force")

    def inform(self, **found: Any) -> None:
        """See `Host`."""
        self._swap(None, found)

    def _swap(self, settings: BaseModel | None, found: dict[str, Any]) -> None:
        """New settings (None: those in force) and what was found besides; nothing changes if that fails."""
        with self._swapping:
            wanted: Any = self.settings if settings is None else settings
            found = {**self._found, **found}
            informed = wanted.informed(**found) if found else wanted
            tables = tables_of(self.deployment.function_class, informed)
            self.engine.swap_tables(*tables, owned_outside(self.deployment, wanted))
            self.settings, self._found = wanted, found

    def stats(self) -> dict[str, Any]:
        """See `Host`."""
        return self.engine.stats()

    def document(self) -> dict[str, Any]:
        """All figures of now."""
        stats = {**self.engine.stats(), "rules_version": self.version}
        document = figures(stats, self.deployment.function_class, time.monotonic() - self._began)
        document |= {"deployment": self.deployment.name, "instance": self.number, **self.figures}
        return document | {"store_available": self.engine.available()}

    def show(self, name: str, value: object) -> None:
        """See `Host`."""
        self.figures[name] = value

    def tell(self, document: dict[str, Any]) -> None:
        """See `Host`."""
        self._told.append(document)

    def documents(self) -> Iterator[dict[str, Any]]:
        """Events since the last call: the engine's, and those that duties told."""
        self.collect()
        with suppress(IndexError):
            while True:
                yield self._told.popleft()

    def collect(self) -> None:
        """Takes the engine's events over."""
        self._told.extend(self._document(*event) for event in self.engine.events())

    def _document(self, header: bytes, code: int, value: int, record: bytes) -> dict[str, Any]:
        document = event_document(header, code, value, self.deployment.function_class, record)
        return self.work.complete(document, header, record)

    def look(self, publications: Publications) -> None:
        """One look at the store. Raises StoreError, ConfigError."""
        self._admit(publications.memory_share())  # first: a full store refuses what follows
        if self.deployment.function_class.rewrites:
            publications.ensure_library()
        published = publications.current()
        if published is not None and published.version != self.version:
            self.use(published)
            self.say(f"rules version {self.version} are in force")
        publications.announce(self.number, self.version)
        publications.report(self.number, self.document())

    def _admit(self, share: float) -> None:
        before = self._admission.open
        if self._admission.look(share) == before:
            return
        self.engine.admit(self._admission.open)
        what = "new flows are taken again" if self._admission.open else "new flows are dropped (store_full)"
        self.say(f"the store is {share:.0%} full: {what}")


@contextmanager
def running_instance(
    deployment: Deployment, say: Say, engine_start: EngineStart, part: Part, *, capture_drops: bool
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
        options = _options(deployment, program, store, capture_drops) | {"beats": part.beats}
        instance = Instance(deployment, _engine_of(deployment, options, engine_start), say, part)
        engine = instance.engine
        with _at_work(instance, store):
            engine.start()
            try:
                yield instance
            finally:
                engine.stop()
                instance.collect()  # while duties still work: the log has them, too


def _options(deployment: Deployment, program: Path, store: OpenStore | None, capture_drops: bool) -> dict[str, Any]:
    options = pipe_options(deployment, program, None if store is None else store.access)
    return options | {
        "acl": options["rules"] is not None,
        "threads": threads_for(deployment.instance.threads, deployment.instance.pipes),
        "captured": CAPTURED if capture_drops else 0,
        "neighbours": neighbour_options(deployment),
    }


def _engine_of(deployment: Deployment, options: dict[str, Any], engine_start: EngineStart) -> _engine.Instance:
    try:
        return _engine.Instance(options, engine_start.link())
    except (RuntimeError, MemoryError) as error:
        raise StartFailed(str(error), f"{deployment.path}: instance", "check ports and free memory") from error


def threads_for(wanted: object, pipes: int) -> int:
    """Of each pipe. Two (§5.1) need a processor each, and one must be left for the store and everything else."""
    if isinstance(wanted, int):
        return wanted
    return 2 if len(os.sched_getaffinity(0)) > 2 * pipes else 1


class Following:
    """A duty (duties/duty.py): the rules of the store from now on."""

    def __init__(self, instance: Instance, url: StoreUrl) -> None:
        """Raises StoreError, ConfigError."""
        self._instance, self.period = instance, PERIOD
        self._publications = Publications(url, instance.deployment.name)
        section = instance.deployment.section
        instance.use(self._publications.offer(instance.deployment.function_class.name, section))
        if (stands := self._publications.current()) is not None and stands.section != section:
            version = f"rules version {stands.version} from the store are in force"
            instance.say(f"{version}, not the file's; to publish those: snf reload")
        self._publications.announce(instance.number, instance.version)

    def look(self) -> None:
        """See `Duty`."""
        self._instance.look(self._publications)

    def close(self) -> None:
        """See `Duty`."""
        with suppress(StoreError):
            self._publications.leave(self._instance.number)
        self._publications.close()


@contextmanager
def _at_work(instance: Instance, store: OpenStore | None) -> Iterator[None]:
    """All that is done beside the pipes. Raises StoreError, ConfigError."""
    url = None if store is None else store.url
    following = [] if url is None else [Following(instance, url)]
    instance.work = duties_of(instance, url)
    with running([*following, *instance.work.duties], instance.say):
        yield
