"""The subjects by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from statelessnf.bench.instruments import load, stream
from statelessnf.bench.subjects.hand_steered import HandSteered
from statelessnf.bench.subjects.linux import LinuxPair
from statelessnf.bench.subjects.orchestrated import Orchestrated
from statelessnf.bench.subjects.subject import Elastic, Failure, Subject
from statelessnf.errors import LabError
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.web import WebFile, make_files, web_server

UDP = (stream.PORT, load.PORT)
Make = Callable[[ExitStack, Lab, int], Subject]
SUBJECTS: dict[str, Make] = {
    "stateless": lambda stack, lab, instances: Orchestrated(stack, lab, "embedded", instances, UDP),
    "baseline": lambda stack, lab, instances: Orchestrated(stack, lab, "memory", instances, UDP),
    "linux": lambda stack, lab, instances: LinuxPair(stack, lab, UDP),
}
LED_BY_HAND: dict[str, Make] = {
    **SUBJECTS,
    "stateless": lambda stack, lab, instances: HandSteered(stack, lab, "embedded", instances, UDP),
    "baseline": lambda stack, lab, instances: HandSteered(stack, lab, "memory", instances, UDP),
    "plain": lambda stack, lab, instances: HandSteered(stack, lab, None, instances, UDP),
}  # whose packets can be led another way at any moment
FAILURES: dict[str, frozenset[Failure]] = {
    "stateless": Orchestrated.failures,
    "baseline": Orchestrated.failures,
    "linux": LinuxPair.failures,
}  # that each can cope with


class Bed(NamedTuple):
    """A subject that is ready, with a web server behind it that offers `files`; `stack` is for what is to end first."""

    subject: Subject
    files: list[WebFile]
    folder: Path
    stack: ExitStack


def elastic(subject: Subject) -> Elastic:
    """The subject as one that grows and shrinks. Raises LabError if it cannot."""
    if not isinstance(subject, Elastic):
        raise LabError(f"{subject.name} has a fixed size", "snf bench scaling", "leave it out")
    return subject


@contextmanager
def bed(name: str, instances: int, size: int, count: int, subjects: Mapping[str, Make] = SUBJECTS) -> Iterator[Bed]:
    """A lab around the subject of that name; `count` downloads of `size` bytes each are to be possible.

    Raises LabError: no root, a program missing, something that does not start.
    """
    with Lab() as lab, ExitStack() as stack:
        subject = subjects[name](stack, lab, instances)
        files = make_files(lab.folder / "files", size, count)
        stack.enter_context(web_server(subject.server, subject.server_address, lab.folder))
        subject.wait_ready()
        yield Bed(subject, files, lab.folder, stack)


def ends(subject: Subject, *, down: bool = False) -> stream.Ends:
    """Whom instruments connect."""
    return stream.Ends(subject.clients, subject.client_address, subject.server, str(subject.server_address), down)
