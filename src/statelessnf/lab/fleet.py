"""All instances of a lab's deployment: started each in its namespace, and waited for until packets get through each."""

import select
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from statelessnf.errors import LabError
from statelessnf.lab.instances import Instance, run_command
from statelessnf.lab.switch import Switch

READY_SECONDS = 30.0


def start_instances(
    stack: ExitStack,
    switch: Switch,
    deployment: Path,
    numbers: Iterable[int] | None = None,
    command: Sequence[str] | None = None,
) -> list[Instance]:
    """An instance in each of the switch's namespaces, or in those with these numbers; logs beside the file.

    `command`: what runs in place of `snf run`, with lines like its own. All are stopped when `stack` closes.
    """
    started = []
    for number in range(len(switch.instances)) if numbers is None else numbers:
        log = deployment.parent / f"instance{number}.log"
        started.append(Instance(number, switch.instances[number], command or run_command(deployment), log))
        stack.callback(started[-1].close)
    return started


def wait_connected(instance: Instance) -> None:
    """Until the instance says that it has its store. Raises LabError if it ends, or does not."""
    deadline = time.monotonic() + READY_SECONDS
    while not instance.figures.get("store_available"):
        select.select([instance.output], [], [], max(0.0, deadline - time.monotonic()))
        instance.read_figures()
        if not instance.alive:
            raise instance.lost()
        if time.monotonic() > deadline:
            raise LabError(f"instance {instance.number} had no store within {READY_SECONDS:g} s")


def wait_ready(switch: Switch, instance: Instance, passes: Callable[[], bool]) -> None:
    """Until something gets through that instance alone, as `passes` finds out within less than a second.

    Raises LabError if it ends, or if nothing does.
    """
    switch.steer("packet", [instance.number])
    deadline = time.monotonic() + READY_SECONDS
    while not passes():
        if not instance.alive:
            raise instance.lost()
        if time.monotonic() > deadline:
            raise LabError(f"nothing got through instance {instance.number} in {READY_SECONDS:g} s")
