"""`snf reload`: publishes a file's rules to all running instances of its deployment, and waits until they have them.

Where an orchestrator runs for the deployment, it is given the file instead.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rich.console import Console

from statelessnf.config import Deployment, function_settings, load
from statelessnf.errors import InstanceError, StoreUnavailable
from statelessnf.pipe_options import check_change, tables_of
from statelessnf.publishing import Publications, Published
from statelessnf.store.url import StoreUrl, unix_url

PATIENCE = 10.0  # seconds; an instance looks once a second
PAUSE = 0.05  # seconds between two looks at who has what


def reload(file: Path, *, as_json: bool) -> None:
    """Runs the command. Raises ConfigError, StoreError; InstanceError if an instance does not take the rules.

    And what an orchestrator says, where one runs.
    """
    deployment = load(file)
    tables_of(deployment.function_class, deployment.settings)
    if (deployment.run_directory / "orchestrator.json").exists():
        from statelessnf.commands.reload_whole import reload_whole  # here, as `snf run` imports this file

        if reload_whole(deployment, as_json=as_json):
            return
    with _publications(deployment) as publications:
        published = publish(publications, deployment)
        instances = _wait(publications, published.version)
    behind = sorted(name for name, version in instances.items() if version < published.version)
    if as_json:
        print(json.dumps({"version": published.version, "instances": len(instances), "behind": behind}))
    else:
        count = f"{len(instances)} instance{'s' * (len(instances) != 1)}"
        Console(highlight=False).print(f"rules version {published.version}: {count}")
    if behind:
        do = "look at what they print: they may be of another release"
        raise InstanceError(f"{len(behind)} of {len(instances)} instances did not take the rules", file.name, do)


def publish(publications: Publications, deployment: Deployment) -> Published:
    """The file's section for all instances. Raises ConfigError where they could not take it over, StoreError."""
    function, stands = deployment.function_class, publications.current()
    if stands is not None and stands.function == function.name:
        where = Path(f"rules version {stands.version}")
        before = function_settings(function, stands.section, where, deployment.inside)
        check_change(function, before, deployment.settings, f"{deployment.path}: {function.name}")
    return publications.publish(function.name, deployment.section)


def _wait(publications: Publications, version: int) -> dict[str, int]:
    """Until all living instances have `version`, or patience ends."""
    deadline = time.monotonic() + PATIENCE
    while True:
        instances = publications.instances()
        if all(has >= version for has in instances.values()) or time.monotonic() > deadline:
            return instances
        time.sleep(PAUSE)


@contextmanager
def _publications(deployment: Deployment) -> Iterator[Publications]:
    with closing(Publications(_address(deployment), deployment.name)) as publications:
        yield publications


def _address(deployment: Deployment) -> StoreUrl:
    url = deployment.store.address
    if url.kind == "memory":
        what = "instances of the baseline share nothing that rules could be published in"
        raise InstanceError(what, str(deployment.path), "send each of them a SIGHUP")
    if url.kind != "embedded":
        return url
    socket = deployment.run_directory / "store.sock"
    if not socket.exists():
        what = f"no instance of {deployment.name!r} runs on this machine"
        raise StoreUnavailable(what, str(deployment.run_directory), "start one: snf run")
    return unix_url(str(socket))
