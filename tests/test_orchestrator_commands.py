"""The commands that ask a running orchestrator: what they print, their exit codes, and one line for what is wrong."""

from __future__ import annotations

import itertools
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from conftest import eventually
from running_api import RunningApi
from running_app import TOKEN
from statelessnf import cli, errors
from statelessnf.api.access import ENDED, LOG, Access, announced
from statelessnf.commands.output import seconds
from statelessnf.orchestrator.face import DeploymentDocument

pytestmark = pytest.mark.beside

DEPLOYMENT = """
name = "edge"
function = "firewall"
[instance]
run_directory = "{folder}/run"
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a deployment; run directories are below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("statelessnf.api.find.default_run_directory", lambda name: tmp_path / "all" / name)
    (tmp_path / "edge.toml").write_text(DEPLOYMENT.format(folder=tmp_path))
    return tmp_path


@pytest.fixture
def running(folder: Path, api: RunningApi) -> Iterator[RunningApi]:
    """`edge.toml` and `edge` lead to the server."""
    access = Access(api=api.url, token=TOKEN)
    with announced(folder / "run", access), announced(folder / "all" / "edge", access):
        yield api


@pytest.fixture
def snf(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["snf", *arguments])
        monkeypatch.setattr("signal.signal", lambda *_: None)
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, out, err

    return run


def refused(result: tuple[int, str, str], code: int, *says: str) -> None:
    """One line on standard error."""
    assert (result[0], result[1]) == (code, ""), result
    assert result[2].startswith("snf: ")
    assert result[2].count("\n") == 1
    for text in says:
        assert text in result[2]


def test_status_by_file_name_and_address(snf: Run, running: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNF_TOKEN", TOKEN)
    shown = {snf("status", which) for which in ("edge.toml", "./edge.toml", "edge", running.url, f"{running.url}/")}
    assert len(shown) == 1
    code, out, err = shown.pop()
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert all(line == line.rstrip() for line in lines)
    assert lines[0] == "edge: firewall, revision 1, 2 instances (1 to 4, 1 spare) by load, settled"
    assert lines[1] == "switch: nftables, connected, spread by flow, traffic to edge-1, edge-2"
    assert lines[3].split()[:4] == ["instance", "host", "health", "for"]
    assert lines[4].split()[:4] == ["edge-1", "here/0", "live", "12.5"]
    assert lines[-1].split() == ["here", "process", "reachable", "2", "of", "4", "2", "2,048", "MB"]


def test_status_names_problems(snf: Run, running: RunningApi) -> None:
    running.face.problem = "no host has room\x1b[2J"
    running.face.leader = False
    running.face.host_problem = "host here: 0 of 2 cores are free"
    code, out, _ = snf("status", "edge.toml")
    assert code == 0
    assert "problem: no host has room\N{REPLACEMENT CHARACTER}[2J" in out
    assert "problem: host here: 0 of 2 cores are free" in out.splitlines()
    assert "standby" in out


def test_status_as_json(snf: Run, running: RunningApi) -> None:
    document = json.loads(snf("status", "edge", "--json")[1])
    assert document["deployment"]["name"] == "edge"
    assert [one["name"] for one in document["instances"]] == ["edge-1", "edge-2"]
    assert set(document) == {"deployment", "instances", "hosts", "steering"}


def test_nothing_is_cut_or_wrapped_where_it_is_piped(snf: Run, running: RunningApi) -> None:
    long = "edge-" + "x" * 300
    running.face.known[long] = running.face.known["edge-1"].model_copy(update={"name": long})
    assert long in snf("status", "edge")[1]


def test_scale(snf: Run, running: RunningApi) -> None:
    assert snf("scale", "edge.toml", "3") == (0, "edge: 3 instances wanted, by order\n", "")
    assert running.face.wanted == 3
    assert json.loads(snf("scale", "edge.toml", "auto", "--json")[1])["scaling"] is True
    assert running.face.deployment().scaling
    refused(snf("scale", "edge.toml", "9"), 1, "outside of minimum 1 and maximum 4; change the deployment file")


def test_drain_and_kill(snf: Run, running: RunningApi) -> None:
    assert snf("drain", "edge", "edge-1") == (0, "edge-1 gets no more traffic\n", "")
    assert running.face.known["edge-1"].drained
    assert snf("drain", "edge", "edge-1", "--undo") == (0, "edge-1 may have traffic again\n", "")
    assert json.loads(snf("kill", "edge", "edge-1", "--json")[1]) == {"killed": "edge-1"}
    assert running.face.known["edge-1"].health == "ended"


@pytest.mark.parametrize("name", ["edge-3", "edg-2"])
def test_a_misspelt_instance(name: str, snf: Run, running: RunningApi) -> None:
    refused(snf("kill", "edge", name), 1, f"there is no instance '{name}'; did you mean 'edge-2'?")
    refused(snf("drain", "edge", name), 1, "did you mean 'edge-2'?")


@pytest.mark.parametrize("name", ["", ".", "..", "../../deployment", "a/b", "x?y", "%2e", "\x1b[2J", "\udcff"])
def test_names_that_are_none(name: str, snf: Run, running: RunningApi) -> None:
    """They reach no other resource, and nothing of them reaches the terminal as it is."""
    result = snf("kill", "edge", name)
    refused(result, 1)
    assert result[2].rstrip("\n").isprintable()
    assert [event.kind for event in running.face.log] == ["start"]


def test_events(snf: Run, running: RunningApi) -> None:
    for n in range(1500):
        running.face.tell("suspect", "edge-1", f"no beat for {n} ms")
    code, out, _ = snf("events", "edge")
    assert code == 0
    assert len(out.splitlines()) == 1501
    assert out.splitlines()[-1].endswith("  1501  suspect    edge-1       no beat for 1499 ms")
    assert json.loads(snf("events", "edge", "--after", "1500", "--json")[1])["number"] == 1501


def test_events_as_they_happen(snf: Run, running: RunningApi) -> None:
    """Until the orchestrator ends."""
    running.face.tell("scale", "", "one more")
    running.face.ended = True
    code, out, err = snf("events", "edge", "--follow", "--json", "--after", "1")
    assert (code, err) == (0, "")
    assert json.loads(out) == running.face.log[1].model_dump()
    assert eventually(lambda: running.face.followers == 0)


def test_flows(snf: Run, running: RunningApi) -> None:
    code, out, err = snf("flows", "edge", "--network", "10.0.0.0/30", "--port", "443", "--field", "state=3")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert [row[0] for row in rows] == ["id", "flow-1", "flow-3"]
    assert rows[1][1:] == ["tcp", "10.0.0.1:40000", "198.51.100.7:443", "1.0", "s", "64", "state=3", "flags=1"]
    assert snf("flows", "list", "edge", "--network", "10.0.0.0/30", "--port", "443", "--field", "state=3")[1] == out


def test_flows_page_by_page(snf: Run, running: RunningApi) -> None:
    code, out, err = snf("flows", "edge", "--limit", "2")
    assert (code, len(out.splitlines())) == (0, 3)
    assert err == "there may be more: --cursor 2\n"
    page = json.loads(snf("flows", "edge", "--limit", "10", "--cursor", "2", "--json")[1])
    assert ([one["id"] for one in page["records"]], page["cursor"]) == (["flow-3", "flow-4", "flow-5"], "")


def test_empty_pages_are_gone_over(snf: Run, running: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page may be empty and not the last one."""
    found = running.records.list

    def one_or_none(filter: object, cursor: str = "", limit: int = 100) -> object:
        at = int(cursor or 0)
        page = found(filter, str(at // 2) if at > 1 else "", 1)  # type: ignore[arg-type]
        return page.model_copy(
            update={"records": page.records if at % 2 else [], "cursor": str(at + 1) if at < 9 else ""}
        )

    monkeypatch.setattr(running.records, "list", one_or_none)
    assert len(json.loads(snf("flows", "edge", "--json")[1])["records"]) == 5
    assert len(json.loads(snf("flows", "edge", "--json", "--limit", "3")[1])["records"]) == 3


def test_one_flow(snf: Run, running: RunningApi) -> None:
    code, out, _ = snf("flows", "inspect", "edge", "flow-2")
    assert code == 0
    assert ["record.state", "1"] in [line.split() for line in out.splitlines()]
    assert json.loads(snf("flows", "modify", "edge", "flow-2", "state=7", "--json")[1])["record"]["state"] == 7
    assert json.loads(snf("flows", "delete", "edge", "flow-2", "--json")[1])["id"] == "flow-2"
    refused(snf("flows", "inspect", "edge", "flow-2"), 1, "there is no record 'flow-2'")
    refused(snf("flows", "modify", "edge", "flow-1", "speed=7"), 1, "speed cannot be 7")
    refused(snf("flows", "edge", "--network", "10.0.0.1/8"), 1, "write '10.0.0.0/8'")


def test_reload(snf: Run, running: RunningApi, folder: Path) -> None:
    assert snf("reload", "edge.toml") == (0, "edge: revision 2 is in force\n", "")
    assert json.loads(snf("reload", "edge.toml", "--json")[1]) == {"revision": 3}
    running.face.failing = errors.Refused("it is being taken down")
    refused(snf("reload", "edge.toml"), 1, "it is being taken down")
    (folder / "edge.toml").write_text("name = 1")
    refused(snf("reload", "edge.toml"), 1, "edge.toml: ")
    assert running.face.revision == 3


def test_reload_without_an_orchestrator_goes_to_the_store(snf: Run, folder: Path) -> None:
    """Also where one was killed and left its address."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    refused(snf("reload", "edge.toml"), 1, "no instance of 'edge' runs on this machine")
    with announced(folder / "run", Access(api=url, token=TOKEN)):
        refused(snf("reload", "edge.toml"), 1, "no instance of 'edge' runs on this machine")


def test_down(snf: Run, running: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statelessnf.commands.operate.ENDING", 0.1)  # this one does not end by itself
    assert snf("down", "edge.toml") == (0, "edge is down\n", "")
    assert running.face.ended


COMMANDS = ("status", "scale", "drain", "kill", "events", "down", "flows")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_orchestrator(command: str, snf: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3: nothing was announced, or what was is gone."""
    more = {"scale": ["2"], "drain": ["edge-1"], "kill": ["edge-1"]}.get(command, [])
    refused(snf(command, "edge.toml", *more), 3, "no orchestrator runs for this deployment; start it: snf up")
    refused(snf(command, "edge", *more), 3, "no orchestrator runs for deployment 'edge'; start it: snf up")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    with announced(folder / "run", Access(api=url, token=TOKEN)):
        refused(snf(command, "edge.toml", *more), 3, url, "start it again: snf up")


def test_an_orchestrator_that_stands_by_has_said_why(snf: Run, folder: Path) -> None:
    log = folder / "run" / LOG
    log.parent.mkdir(exist_ok=True)
    log.write_text("edge: this orchestrator leads\nedge: this orchestrator stands by: the store does not answer\n")
    said = "start it: snf up; the last one said: edge: this orchestrator stands by: the store does not answer"
    refused(snf("status", "edge.toml"), 3, f"no orchestrator runs for this deployment; {said}")
    log.write_text(f"edge: {ENDED}\n")
    refused(snf("status", "edge.toml"), 3, "no orchestrator runs for this deployment; start it: snf up")
    assert snf("status", "edge.toml")[2].endswith("snf up\n")


def test_a_misspelt_deployment(snf: Run, running: RunningApi) -> None:
    refused(snf("status", "edje"), 3, "no orchestrator runs for deployment 'edje'; did you mean 'edge'?")
    refused(snf("status", "elsewhere"), 3, "running here: edge")
    refused(snf("status", "Edge!"), 1, "is no deployment; give its FILE.toml, its name, or http://ADDRESS:PORT")
    refused(snf("status", "edje.toml"), 1, "edje.toml: cannot read the deployment file")


def test_a_file_under_work_still_leads_there(snf: Run, running: RunningApi, folder: Path) -> None:
    (folder / "edge.toml").write_text(DEPLOYMENT.format(folder=folder).replace("firewall", "firewal"))
    assert snf("status", "edge.toml")[0] == 0
    (folder / "edge.toml").write_text("function = 1")
    refused(snf("status", "edge.toml"), 1, "edge.toml: name: the file names no deployment")


def test_the_token_of_an_address(snf: Run, running: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNF_TOKEN", raising=False)
    refused(snf("status", running.url), 1, "SNF_TOKEN: the environment variable holds no token")
    monkeypatch.setenv("SNF_TOKEN", "another-token-than-it-has")
    refused(snf("status", running.url), 1, "the token is wrong")
    refused(snf("status", "http://nowhere/x?y"), 1, "this is no address of an orchestrator")


def test_something_else_listens_there(snf: Run, folder: Path) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path.count("e") > 2) * 300 + 200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, format: str, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        thread = threading.Thread(target=stranger.serve_forever, args=(0.01,))
        thread.start()
        with announced(folder / "run", Access(api=f"http://127.0.0.1:{stranger.server_port}", token=TOKEN)):
            refused(snf("status", "edge.toml"), 1, "what answers there is no orchestrator")
            refused(snf("flows", "edge.toml"), 1, "what answers there is no orchestrator")
        stranger.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("status",), "Missing argument"),
        (("scale", "edge", "many"), "'many' is neither a number nor auto"),
        (("scale", "edge"), "Missing argument"),
        (("flows", "edge", "--field", "state"), "'state' is not of the form NAME=NUMBER"),
        (("flows", "edge", "--port", "70000"), "--port"),
        (("flows", "modify", "edge", "flow-1", "state=x"), "'state=x' is not of the form"),
        (("flows", "modify", "edge", "flow-1"), "Missing argument"),
        (("events", "edge", "--after", "-1"), "--after"),
    ],
)
def test_usage(arguments: tuple[str, ...], says: str, snf: Run, running: RunningApi) -> None:
    refused(snf(*arguments), 2, says, "--help'")


@pytest.mark.parametrize("command", [*COMMANDS, "flows list", "flows inspect", "flows modify", "flows delete"])
def test_help(command: str, snf: Run) -> None:
    code, out, err = snf(*command.split(), "--help")
    assert (code, err) == (0, "")
    assert "Example: snf flows edge.toml" in out if command == "flows list" else f"Example: snf {command}" in out


def test_watching(snf: Run, running: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again, until something ends it."""

    def deployment() -> DeploymentDocument:
        if next(looks) > 3:
            raise errors.DriverError("the host is gone")
        return shown

    looks, shown = itertools.count(1), running.face.deployment()
    monkeypatch.setattr("statelessnf.commands.status.PERIOD", 0)
    monkeypatch.setattr(running.face, "deployment", deployment)
    code, out, err = snf("status", "edge", "--watch", "--json")
    assert (code, err) == (1, "snf: the host is gone\n")
    assert [json.loads(line)["deployment"]["name"] for line in out.splitlines()] == ["edge"] * 3


def test_ctrl_c_is_how_watching_ends(snf: Run, running: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("statelessnf.commands.status.time.sleep", interrupted)
    code, out, err = snf("status", "edge", "--watch")
    assert (code, err) == (0, "")
    assert out.startswith("edge: firewall")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (200.4, "3 min 20 s"), (7500, "2 h 5 min"), (200_000, "2 d 7 h")],
)
def test_lengths_of_time(value: float, shown: str) -> None:
    assert seconds(value) == shown
