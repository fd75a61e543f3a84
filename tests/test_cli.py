"""The command from outside: help, exit codes, and one line without traceback for everything that can be wrong."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import valkey

from statelessnf import cli
from statelessnf.capture import CaptureWriter
from statelessnf.store.embedded import server_binary

pytestmark = pytest.mark.beside

DEPLOYMENT = """
name = "edge"
function = "firewall"
[store]
url = "{store}"
[instance]
ports = {{ inside = "{inside}", outside = "net_null1" }}
[firewall]
rules = [{{ action = "allow", direction = "outbound", protocol = "tcp" }}]
"""
PACKET = bytes.fromhex("0200000000020200000000010806") + bytes(46)  # ARP
SNF = [sys.executable, "-m", "statelessnf.cli"]


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """The command installs handlers."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a deployment and a capture."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    with CaptureWriter(tmp_path / "in.pcap") as writer:
        for n in range(3000):
            writer.write(n * 1_000_000, PACKET)
    return tmp_path


def write(folder: Path, store: str = "memory", inside: str = "net_null0") -> None:
    (folder / "edge.toml").write_text(DEPLOYMENT.format(store=store, inside=inside))


def snf(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["snf", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out, err = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, out, err


def refused(result: tuple[int, str, str], code: int, *says: str) -> None:
    """One line that says what, where and what to do."""
    assert result[0] == code
    assert result[1] == ""
    assert result[2].startswith("snf: ")
    assert result[2].count("\n") == 1
    assert result[2].endswith("\n")
    for text in says:
        assert text in result[2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("frob",), "No such command 'frob'"),
        (("run",), "Missing argument"),
        (("run", "--nope", "edge.toml"), "--nope"),
        (("replay", "edge.toml", "in.pcap"), "Missing argument"),
        (("replay", "edge.toml", "in.pcap", "out.pcap", "--split", "x"), "'flow', 'packet', 'direction'"),
        (("replay", "edge.toml", "in.pcap", "out.pcap", "--cache", "x"), "'tracked', 'off'"),
        (("replay", "edge.toml", "in.pcap", "out.pcap", "--instances", "0"), "greater than or equal to 1"),
        (("demo", "--files", "many"), "--files"),
    ],
)
def test_usage(
    arguments: tuple[str, ...], says: str, folder: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    refused(snf(capsys, monkeypatch, *arguments), 2, says, "--help'")


COMMANDS = ("run", "replay", "check", "reload", "build", "functions", "demo")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = snf(capsys, monkeypatch, command, "--help")
    assert (code, err) == (0, "")
    assert f"Example: snf {command}" in out


def test_help_names_all_commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = snf(capsys, monkeypatch, "--help")
    assert code == 0
    assert all(command in out for command in (*COMMANDS, "bench", "--version", "--install-completion"))


def test_help_is_quick_to_import() -> None:
    """Nothing heavy is imported for help and completion."""
    heavy = ("numba", "numpy", "valkey", "pydantic", "statelessnf._engine")
    show = f"import sys, statelessnf.cli_commands; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_instance_starts_without_the_other_commands() -> None:
    show = "import sys, statelessnf.cli as cli; sys.argv[1:] = {words}\n"
    show += "import atexit; atexit.register(lambda: print('typer' in sys.modules)); cli.main()"
    for words, imported in ((["run", "no.toml"], False), (["run", "no.toml", "--json"], False), (["--help"], True)):
        done = subprocess.run(
            [sys.executable, "-c", show.format(words=words)], capture_output=True, text=True, check=False
        )
        assert done.stdout.splitlines()[-1] == str(imported)


@pytest.mark.parametrize("words", [["run", "no.toml"], ["run", "no.toml", "--json"], ["run", "--json", "no.toml"]])
def test_ways_to_say_run(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(snf(capsys, monkeypatch, *words), 1, "no.toml")


def test_check(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = snf(capsys, monkeypatch, "check", "edge.toml")
    assert (code, err) == (0, "")
    assert "Deployment edge: function firewall." in out
    assert "baseline" in out


def test_check_as_json_hides_the_password(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "valkey://me:hidden@127.0.0.1:6379")
    for arguments in (("check", "edge.toml"), ("check", "edge.toml", "--json")):
        code, out, _ = snf(capsys, monkeypatch, *arguments)
        assert code == 0
        assert "hidden" not in out
    document = json.loads(out)
    assert document["store"]["url"] == "valkey://127.0.0.1:6379"
    assert document["firewall"]["rules"][0]["action"] == "allow"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('nam = "x"', ("edge.toml: nam: unknown key", "did you mean 'name'?")),
        ("inside = 7", ("edge.toml: inside: 7 should be a list",)),
        ('inside = ["10.0.0.0/8", "10.2.0.0/16"]', ("edge.toml: inside: 10.0.0.0/8 and 10.2.0.0/16 overlap",)),
        ('inside = ["10.0.0.300/8"]', ("edge.toml: inside[0]: '10.0.0.300/8' is no network",)),
        ("inside = [", ("edge.toml: not valid TOML",)),
    ],
)
def test_bad_deployment(
    line: str, says: tuple[str, ...], folder: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    content = (folder / "edge.toml").read_text()
    (folder / "edge.toml").write_text(f"{line}\n{content}")
    for arguments in (("check", "edge.toml"), ("run", "edge.toml"), ("replay", "edge.toml", "in.pcap", "out.pcap")):
        refused(snf(capsys, monkeypatch, *arguments), 1, *says)
    assert not (folder / "out.pcap").exists()


def test_same_ports(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, inside="net_null1")
    refused(snf(capsys, monkeypatch, "check", "edge.toml"), 1, "instance.ports", "same port (net_null1)")


def cooked() -> bytes:
    with CaptureWriter(Path("cooked.pcap")) as writer:
        writer.write(0, PACKET)
    content = bytearray(Path("cooked.pcap").read_bytes())
    content[20] = 113
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"", "empty"),
        (b"no capture at all", "no capture"),
        ("cut", "truncated: it ends within the record at byte "),
        ("cooked", "unsupported link type 113 (Linux cooked)"),
    ],
)
def test_bad_capture(
    content: object, says: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (folder / "in.pcap").read_bytes()
    made = {"cut": lambda: whole[:-1], "cooked": cooked}.get(str(content), lambda: content)()
    (folder / "in.pcap").unlink()
    if isinstance(made, bytes):
        (folder / "in.pcap").write_bytes(made)
    before = set(folder.iterdir())
    refused(snf(capsys, monkeypatch, "replay", "edge.toml", "in.pcap", "out.pcap"), 1, "in.pcap: ", says)
    assert set(folder.iterdir()) == before


def test_replay(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = snf(capsys, monkeypatch, "replay", "edge.toml", "in.pcap", "out.pcap", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert (document["packets"], document["forwarded"], document["dropped"]) == (3000, 3000, 0)
    assert (folder / "out.pcap").read_bytes() == (folder / "in.pcap").read_bytes()
    code, out, err = snf(capsys, monkeypatch, "replay", "edge.toml", "in.pcap", "out.pcap")
    assert (code, err) == (0, "")
    assert "3,000" in out


def test_output_is_input(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    content = (folder / "in.pcap").read_bytes()
    (folder / "link").symlink_to("in.pcap")
    refused(snf(capsys, monkeypatch, "replay", "edge.toml", "in.pcap", "link"), 1, "the output is the input")
    assert (folder / "in.pcap").read_bytes() == content


def test_disk_full(folder: Path) -> None:
    """A limit on file sizes stands for the full disk: it meets the temporary file, as a full disk would."""
    done = subprocess.run(
        [*SNF, "replay", "edge.toml", "in.pcap", "out.pcap"],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )  # fmt: skip
    refused((done.returncode, done.stdout, done.stderr), 1, "out.pcap: cannot write the capture")
    assert {path.name for path in folder.iterdir()} == {"edge.toml", "in.pcap"}


def test_terminated(folder: Path) -> None:
    """SIGTERM in the middle: no output, no temporary file."""
    os.mkfifo(folder / "slow.pcap")
    process = subprocess.Popen(
        [*SNF, "replay", "edge.toml", "slow.pcap", "out.pcap"], stderr=subprocess.PIPE, text=True
    )
    with (folder / "slow.pcap").open("wb") as pipe:
        pipe.write((folder / "in.pcap").read_bytes())
        pipe.flush()
        deadline = time.monotonic() + 60
        while not list(folder.glob(".out.pcap.*")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (143, "")
    assert {path.name for path in folder.iterdir()} == {"edge.toml", "in.pcap", "slow.pcap"}


def test_no_such_interface(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statelessnf.ports._may_open", lambda: True)
    write(folder, inside="net_af_xdp0,iface=l")
    refused(snf(capsys, monkeypatch, "run", "edge.toml"), 1, "instance.ports.inside", "no network interface 'l'")


def test_no_permission(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statelessnf.ports._may_open", lambda: False)
    write(folder, inside="net_af_xdp0,iface=lo")
    refused(snf(capsys, monkeypatch, "run", "edge.toml"), 1, "no permission to open net_af_xdp0", "run it as root")


def test_no_such_device(folder: Path) -> None:
    """DPDK says no: in a process of its own, as EAL starts once in each."""
    write(folder, inside="net_nonsense0")
    done = subprocess.run([*SNF, "run", "edge.toml"], capture_output=True, text=True, check=False)
    refused((done.returncode, done.stdout, done.stderr), 1, "net_nonsense0")


def test_no_ports(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "edge.toml").write_text('name = "edge"\nfunction = "firewall"')
    refused(snf(capsys, monkeypatch, "run", "edge.toml"), 1, "instance.ports", "required", "snf replay")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A running server with a password; its socket."""
    path = tmp_path / "s"
    command = [server_binary(), "--port", "0", "--unixsocket", path, "--requirepass", "right", "--save", ""]
    settings = ["--maxmemory", "64mb", "--maxmemory-policy", "noeviction", "--tracking-table-max-keys", "0"]
    process = subprocess.Popen([*map(str, command), *settings], stdout=subprocess.DEVNULL, cwd=tmp_path)
    try:
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.01)
        yield path
    finally:
        process.terminate()
        process.wait()


REPLAY = ("replay", "edge.toml", "in.pcap", "out.pcap", "--store")


def test_store_not_reachable(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"valkey://127.0.0.1:{unused.getsockname()[1]}"
        refused(snf(capsys, monkeypatch, *REPLAY, url), 1, url, "cannot be reached", "start it")
    refused(snf(capsys, monkeypatch, *REPLAY, "unix:///nowhere/s"), 1, "unix:///nowhere/s", "cannot be reached")
    assert not (folder / "out.pcap").exists()


def test_wrong_password(
    folder: Path, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(snf(capsys, monkeypatch, *REPLAY, f"unix://{store}"), 1, "refused the user or the password")
    assert not (folder / "out.pcap").exists()


def test_other_schema(
    folder: Path, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with valkey.Valkey(unix_socket_path=str(store), password="right") as client:
        client.config_set("requirepass", "")
        client.set("statelessnf:edge:schema", "99")
    refused(snf(capsys, monkeypatch, *REPLAY, f"unix://{store}"), 1, "another schema version", "99")
    assert not (folder / "out.pcap").exists()


def test_reload_without_instances(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(snf(capsys, monkeypatch, "reload", "edge.toml"), 1, "baseline", "SIGHUP")
    content = (folder / "edge.toml").read_text()
    content = content.replace('"memory"', '"embedded"').replace("ports", f'run_directory = "{folder}/run"\nports')
    (folder / "edge.toml").write_text(content)
    refused(snf(capsys, monkeypatch, "reload", "edge.toml"), 1, "no instance of 'edge' runs", "snf run")


def test_internal_errors_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr("statelessnf.commands.check.check", broken)
    refused(snf(capsys, monkeypatch, "check", "edge.toml"), 1, "internal error (ZeroDivisionError): a b", "--debug")
    monkeypatch.setattr(sys, "argv", ["snf", "--debug", "check", "edge.toml"])
    monkeypatch.setenv("SNF_DEBUG", "")  # so that it is put back
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "examples").glob("*.toml")), ids=lambda p: p.name)
def test_examples_are_valid_and_without_warnings(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = snf(capsys, monkeypatch, "check", str(path), "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["warnings"] == []
