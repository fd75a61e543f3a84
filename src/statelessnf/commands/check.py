"""`snf check`: validates a deployment file and says in words what it will do."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from statelessnf.config import Deployment, load
from statelessnf.neighbour_options import explain_neighbours, neighbour_warnings
from statelessnf.orchestrator import section_words
from statelessnf.orchestrator.section import OrchestratorSection, orchestration
from statelessnf.pipe_options import tables_of

STORES = {
    "memory": "in the instance's own memory (the baseline): they die with it",
    "embedded": "in an embedded store on this machine, shared by all instances here",
    "unix": "in the store at {shown}, shared by all instances that use it",
    "valkey": "in the store at {shown}, shared by all instances that use it",
}


def check(file: Path, *, as_json: bool) -> None:
    """Prints the explanation. Raises ConfigError, FunctionError."""
    deployment = load(file)
    tables_of(deployment.function_class, deployment.settings)
    _orchestration(deployment)
    if as_json:
        print(json.dumps(document(deployment)))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{escape(str(file))}[/bold] is valid.")
    for line in explained(deployment):
        console.print(escape(line))
    for warning in warnings(deployment):
        console.print(f"[yellow]warning[/yellow]: {escape(warning)}")


def document(deployment: Deployment) -> dict[str, Any]:
    """For `--json`: the deployment with all defaults filled in (no password), and the warnings."""
    settings = deployment.model_dump(mode="json")
    settings["store"]["url"] = deployment.store.address.shown()
    section = _orchestration(deployment)
    settings["orchestrator"] = None if section is None else section.model_dump(mode="json")
    function = deployment.function_class.name
    return {
        **settings,
        "run_directory": str(deployment.run_directory),
        function: deployment.settings.model_dump(mode="json"),
        "warnings": warnings(deployment),
    }


def explained(deployment: Deployment) -> Iterator[str]:
    """What the deployment will do, a sentence a line."""
    instance, store = deployment.instance, deployment.store
    yield f"Deployment {deployment.name}: function {deployment.function_class.name}."
    yield f"Captured packets from {', '.join(str(network) for network in deployment.inside)} come from inside."
    if instance.ports is None:
        yield "No ports of its own: it can be replayed (snf replay), or orchestrated (snf up)."
    else:
        yield f"Inside port {instance.ports.inside}, outside port {instance.ports.outside}."
    threads = "1 or 2 threads, as there are cores" if instance.threads == "auto" else f"{instance.threads} thread(s)"
    yield f"An instance has {instance.pipes} pipe(s) of {threads}."
    yield f"Records are kept {STORES[store.address.kind].format(shown=store.address.shown())}."
    if store.address.kind != "memory":
        cached = f"at most {instance.cache_flows:,} a pipe, and used for {store.stale_ms} ms without the store"
        yield f"Records are cached, {cached}." if store.cache == "tracked" else "No record is cached: each packet asks."
    yield from explain_neighbours(deployment)
    if (words := _words(deployment)) is not None:
        yield from words.explain(deployment.settings)
    if (section := _orchestration(deployment)) is not None:
        yield from section_words.explain(section)


def warnings(deployment: Deployment) -> list[str]:
    """What is valid and probably not meant."""
    words = _words(deployment)
    found = [] if words is None else list(words.warnings(deployment.settings))
    found += neighbour_warnings(deployment)
    if (section := _orchestration(deployment)) is not None:
        found += section_words.warnings(section, deployment.store.address.kind)
    if deployment.store.cache == "tracked" and deployment.store.stale_ms == 0:
        found.append("store.stale_ms = 0: a cached record is never used; write cache = 'off' instead")
    return found


def _orchestration(deployment: Deployment) -> OrchestratorSection | None:
    """None: the file has no such section. Raises ConfigError."""
    return None if deployment.orchestrator is None else orchestration(deployment)


def _words(deployment: Deployment) -> Any:
    """The module beside the function's own, named `<function>_words`: `explain` and `warnings` of its settings."""
    name = f"{deployment.function_class.__module__}_words"
    return importlib.import_module(name) if find_spec(name) is not None else None
