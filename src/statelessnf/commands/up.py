"""`snf up`: starts a deployment's orchestrator, and says when everything that the file wants is there.

In the background it is a process of its own, which outlives the command and the terminal; what it says is in
`orchestrator.log` in the run directory. In the foreground (containers, systemd) it is this process.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from statelessnf.api.access import LOG, last_line
from statelessnf.api.client import Client, connected
from statelessnf.api.documents import EventsDocument, HealthDocument
from statelessnf.commands.output import clean
from statelessnf.config import Deployment, parse_text, read_text
from statelessnf.errors import NotRunning, OrchestratorError, Refused
from statelessnf.orchestrator.face import DeploymentDocument
from statelessnf.orchestrator.section import orchestration
from statelessnf.store.embedded import make_private

PATIENCE = 30.0  # seconds until everything stands
PAUSE = 0.05


def foreground(file: Path, *, standby: bool) -> None:
    """Runs the orchestrator until SIGINT or SIGTERM; instances run on. Raises SnfError."""
    from statelessnf.orchestrator.orchestrate import Orchestrator
    from statelessnf.orchestrator.patient_loop import PatientLoop

    text = read_text(file)
    deployment = parse_text(text, file)

    async def run() -> None:
        orchestrator = Orchestrator(deployment, text, _say)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, orchestrator.stop.set)
        await orchestrator.run(standby=standby)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=PatientLoop) as runner:
        runner.run(run())


def background(file: Path, *, standby: bool, as_json: bool) -> None:
    """Starts it, and waits until the deployment has settled. Raises SnfError: what is wrong, or what is missing."""
    deployment = parse_text(read_text(file), file)
    orchestration(deployment)
    if not standby:
        _check_alone(deployment)
    process, log = _start(deployment, file, standby)
    if standby:
        _say(f"{deployment.name}: an orchestrator stands by (process {process.pid}); what it says is in {log}")
        return
    shown = _wait(deployment, process, log)
    if as_json:
        print(shown.model_dump_json())
    else:
        count = f"{shown.size} instance{'s' * (shown.size != 1)} of {shown.function}"
        print(f"{deployment.name}: {count}; see snf status {file}, and to end it: snf down {file}")


def _check_alone(deployment: Deployment) -> None:
    """Raises Refused where an orchestrator answers already."""
    with suppress(NotRunning), connected(str(deployment.path)) as client:
        client.get("/health", HealthDocument)
        what = f"an orchestrator runs already for deployment {deployment.name!r} ({client.url})"
        raise Refused(what, str(deployment.path), "to change the deployment: snf reload; for a standby: --standby")


def _start(deployment: Deployment, file: Path, standby: bool) -> tuple[subprocess.Popen[bytes], Path]:
    make_private(deployment.run_directory)
    log = deployment.run_directory / LOG
    command = [sys.executable, "-m", "statelessnf.cli", "up", str(file.absolute()), "--foreground"]
    with log.open("ab") as output:
        log.chmod(0o600)
        process = subprocess.Popen(
            [*command, *(["--standby"] if standby else [])],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )
    return process, log


def _wait(deployment: Deployment, process: subprocess.Popen[bytes], log: Path) -> DeploymentDocument:
    """Until all is as the file wants. What happens meanwhile is told on a terminal."""
    deadline, told, problem = time.monotonic() + PATIENCE, 0, ""
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise OrchestratorError("the orchestrator ended", str(log), last_line(log) or "it said nothing")
        with suppress(NotRunning):
            with connected(str(deployment.path)) as client:
                told = _tell_events(client, told)
                shown = client.get("/deployment", DeploymentDocument)
            problem = shown.problem
            if shown.settled:
                return shown
        time.sleep(PAUSE)
    do = "it goes on trying; see snf status and snf events, or end it with snf down"
    raise OrchestratorError(f"not everything is there after {PATIENCE:g} s: {problem or 'it is slow'}", log.name, do)


def _tell_events(client: Client, after: int) -> int:
    """What has happened since event `after`, on a terminal. Returns the number of the last one."""
    found = client.get("/events", EventsDocument, after=after)
    if sys.stderr.isatty():
        for event in found.events:
            _say("  " + " ".join(clean(part) for part in (event.kind, event.instance, event.text) if part))
    return found.last


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
