"""`snf reload` where an orchestrator runs: it is given the whole file, and does what has to be done for it."""

from __future__ import annotations

from contextlib import closing

from statelessnf.api.access import read_access
from statelessnf.api.client import Client
from statelessnf.api.documents import RevisionDocument
from statelessnf.commands.output import line, show
from statelessnf.config import Deployment
from statelessnf.errors import NotRunning


def reload_whole(deployment: Deployment, *, as_json: bool) -> bool:
    """False: none runs, although one did. Raises SnfError: what the orchestrator says; then nothing has changed."""
    text = deployment.path.read_text(encoding="utf-8")
    try:
        with closing(Client(read_access(deployment.run_directory))) as client:
            found = client.put_text("/deployment", text, RevisionDocument)
    except NotRunning:
        return False
    if as_json:
        print(found.model_dump_json())
    else:
        show(line(f"{deployment.name}: revision {found.revision} is in force"))
    return True
