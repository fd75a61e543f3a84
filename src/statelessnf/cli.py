"""The command `snf`: its arguments, its help, and the one place where errors become a line and an exit code.

Exit codes: 0 done; 1 something is wrong that the line on standard error names; 2 wrong usage; 130 and 143 interrupted.
What a command does is in `statelessnf.commands`, imported when it is run: `snf --help` stays quick.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from statelessnf.cli_bench import bench
from statelessnf.errors import SnfError
from statelessnf.split import Split

HELP = """Network functions whose instances keep no state: kill one, and no connection breaks.

A deployment is described by a TOML file. Begin with [bold]snf demo[/bold], then look at examples/firewall.toml and:

  snf check edge.toml                       what would this deployment do?
  snf replay edge.toml in.pcap out.pcap     send a capture through it
  snf run edge.toml                         run one instance of it
"""

# Nothing here does linear algebra or uses plug-ins of pydantic: threads for the one, and a search through all packages
# for the other, would cost every command time and an instance memory.
QUICK_START = {"OPENBLAS_NUM_THREADS": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}

app = typer.Typer(
    name="snf", help=HELP, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(bench, name="bench")

Deployment = Annotated[Path, typer.Argument(metavar="FILE.toml", help="The deployment file.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, for programs.")]
CaptureDrops = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write dropped packets to this capture file.", show_default=False),
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"snf {version('statelessnf')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the program an error came from.")] = False,
) -> None:
    if debug:
        os.environ["SNF_DEBUG"] = "1"


@app.command()
def run(
    file: Deployment,
    json: Json = False,
    capture_drops: CaptureDrops = None,
) -> None:
    """Run one instance in the foreground; stop it with Ctrl-C.

    Start it again elsewhere with the same file: all instances of a deployment share its store and are interchangeable.
    A live line a second shows rates, flows, drops and what was asked of the store. SIGHUP reads the rules again.

    Example: snf run edge.toml --capture-drops dropped.pcap
    """
    from statelessnf.engine_start import EngineStart

    engine_start = EngineStart()  # before the other imports: they take as long
    from statelessnf.commands.run import run as command

    command(file, engine_start, as_json=json, capture_drops=capture_drops)


@app.command()
def replay(
    file: Deployment,
    capture: Annotated[Path, typer.Argument(metavar="IN", help="pcap or pcapng, also .zst.", show_default=False)],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="What came through, as pcap.", show_default=False)],
    instances: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="How many instances. 1, or 2 to split by packet or direction.", show_default=False
        ),
    ] = None,
    split: Annotated[Split, typer.Option(help="What decides which instance gets a packet.")] = Split.flow,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Instead of the file's: embedded, memory, unix://…, valkey://…"),
    ] = None,
    cache: Annotated[
        Literal["tracked", "off"] | None, typer.Option(help="Instead of the file's.", show_default=False)
    ] = None,
    json: Json = False,
    capture_drops: CaptureDrops = None,
) -> None:
    """Send a capture through instances of a deployment, and write what comes out.

    The clock is the capture's; frames leave with their own times, in the order of the input. The networks that the
    deployment file names as inside say from which side a packet comes. The ports in the file are not used.

    Example: snf replay edge.toml in.pcap out.pcap --instances 3 --split packet
    """
    from statelessnf.commands.replay import ReplayRequest
    from statelessnf.commands.replay import replay as command

    command(ReplayRequest(file, capture, output, instances, split, store, cache, json, capture_drops))


@app.command()
def check(file: Deployment, json: Json = False) -> None:
    """Validate a deployment file and say in words what it will do.

    Example: snf check edge.toml
    """
    from statelessnf.commands.check import check as command

    command(file, as_json=json)


@app.command()
def reload(file: Deployment, json: Json = False) -> None:
    """Publish a changed file's rules to all running instances of the deployment; no flow is lost.

    Example: snf reload edge.toml
    """
    from statelessnf.commands.reload import reload as command

    command(file, as_json=json)


@app.command()
def build(
    functions: Annotated[
        list[str] | None, typer.Argument(help="Names or file.py:Class; all that come along if none.")
    ] = None,
    json: Json = False,
) -> None:
    """Compile network functions now, so that instances start in milliseconds.

    Example: snf build firewall
    """
    from statelessnf.commands.build import build as command

    command(functions or [], as_json=json)


@app.command()
def demo(
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Keep state in the instances: watch downloads die.")
    ] = False,
    files: Annotated[int, typer.Option(min=1, max=10_000, help="Downloads, 100 at a time.")] = 100,
    size: Annotated[int, typer.Option(min=1, help="Bytes of each.")] = 20_000_000,
    quick: Annotated[bool, typer.Option("--quick", help="20 downloads of 5 MB.")] = False,
    json: Json = False,
    output: Annotated[Path, typer.Option(metavar="PNG", help="Where to draw the picture.")] = Path("demo.png"),
) -> None:
    """100 downloads through two firewalls; one is killed in the middle, and not one download breaks.

    Makes its own network namespaces (needs root) and removes them in the end, also after Ctrl-C.

    Example: snf demo --quick, and then: snf demo --quick --baseline
    """
    from statelessnf.lab.demo import run_demo

    raise typer.Exit(run_demo(baseline, files, size, quick, json, output))


def _fail(line: str, code: int) -> NoReturn:
    typer.echo(f"snf: {line}", err=True)
    sys.exit(code)


def _terminated(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)  # so that whatever is open gets closed and half-written files removed


def main() -> NoReturn:
    """Entry point of the command."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.unraisablehook = _show_unraisable
    for name, value in QUICK_START.items():
        os.environ.setdefault(name, value)
    try:
        code = app(prog_name="snf", standalone_mode=False)
    except SnfError as error:
        _raise_if_debugging(error)
        _fail(error.line(), 1)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads: nothing to say at exit either
        sys.exit(1)
    except Exception as error:
        if getattr(error, "exit_code", None) == 2:  # a usage error of typer's; its class is private
            _wrong_usage(error)
        _raise_if_debugging(error)
        what = " ".join(str(error).split()) or "no details"
        _fail(f"internal error ({type(error).__name__}): {what}; run it again as 'snf --debug …' and report it", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _show_unraisable(what: sys.UnraisableHookArgs) -> None:
    """Ctrl-C in the middle of a library's constructor leaves it a broken object, which is not the user's concern."""
    if os.environ.get("SNF_DEBUG"):
        sys.__unraisablehook__(what)


def _wrong_usage(error: Exception) -> NoReturn:
    message = " ".join(getattr(error, "format_message", error.__str__)().split()).rstrip(".")
    if not message:  # without arguments the help was shown
        sys.exit(2)
    command = getattr(getattr(error, "ctx", None), "command_path", "snf")
    _fail(f"{message.replace('Value error, ', '')}; see '{command} --help'", 2)


def _raise_if_debugging(error: Exception) -> None:
    if os.environ.get("SNF_DEBUG"):
        raise error


if __name__ == "__main__":
    main()
