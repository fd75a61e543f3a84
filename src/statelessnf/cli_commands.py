"""The commands of `snf`: their arguments and their help.

What a command does is in `statelessnf.commands`, imported when it is run: `snf --help` stays quick.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from statelessnf.cli import run_instance
from statelessnf.cli_bench_orchestrator import bench
from statelessnf.cli_orchestrator import add_commands
from statelessnf.split import Split

HELP = """Network functions whose instances keep no state: kill one, and no connection breaks.

A deployment is described by a TOML file. Begin with [bold]snf demo[/bold], then look at examples/firewall.toml and:

  snf check edge.toml                       what would this deployment do?
  snf replay edge.toml in.pcap out.pcap     send a capture through it
  snf run edge.toml                         run one instance of it
"""

app = typer.Typer(
    name="snf", help=HELP, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip

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
    order: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A private file written by the orchestrator: name, ports, pipes, and where to send heartbeats.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run one instance in the foreground; stop it with Ctrl-C.

    Start it again elsewhere with the same file: all instances of a deployment share its store and are interchangeable.
    A live line a second shows rates, flows, drops and what was asked of the store. SIGHUP reads the rules again.

    Example: snf run edge.toml --capture-drops dropped.pcap
    """
    run_instance(file, json, capture_drops, order)


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

    Where an orchestrator runs, it takes the whole file: what is more than rules replaces the instances one by one.

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
def functions(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A name, or file.py:Class; all if none.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Explain network functions: what they are, and the options of their section in the deployment file.

    Example: snf functions firewall
    """
    from statelessnf.commands.functions import functions as command

    command(name, as_json=json)


@app.command()
def agent(
    token_file: Annotated[
        Path, typer.Option(metavar="FILE", help="The token that orchestrators must show.", show_default=False)
    ],
    listen: Annotated[str, typer.Option(metavar="ADDRESS:PORT", help="Where.")] = "127.0.0.1:8471",
    certificate: Annotated[
        Path | None, typer.Option(metavar="PEM", help="For TLS; needed but on the loopback.", show_default=False)
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="PEM", help="The certificate's key.", show_default=False)] = None,
) -> None:
    """Serve this host to orchestrators elsewhere: they start, watch and end instances here.

    Instances run on when the agent ends, and are found again by the next one. See docs/hosts.md.

    Example: snf agent --token-file /etc/statelessnf/token --listen 10.0.0.7:8471 --certificate a.pem --key a.key
    """
    from statelessnf.commands.agent import agent as command

    command(listen, token_file, certificate, key)


@app.command()
def demo(
    story: Annotated[
        Literal["failover", "scaling", "asymmetry"],
        typer.Argument(help="An instance is killed; the load goes up and down; packets take different ways."),
    ] = "failover",
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Keep state in the instances: watch connections break.")
    ] = False,
    switch: Annotated[
        Literal["nftables", "openvswitch"] | None,
        typer.Option(help="What steers. Open vSwitch where it is installed; asymmetry: nftables.", show_default=False),
    ] = None,
    files: Annotated[int, typer.Option(min=1, max=10_000, help="failover: downloads, 100 at a time.")] = 100,
    size: Annotated[
        int | None,
        typer.Option(
            min=1, help="failover: bytes of each; 20 MB by nftables, 2 MB by Open vSwitch.", show_default=False
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A short one; failover: 20 downloads of 5 or 1.5 MB.")] = False,
    json: Json = False,
    output: Annotated[Path, typer.Option(metavar="PNG", help="Where to draw the picture.")] = Path("demo.png"),
) -> None:
    """A firewall under its orchestrator: one instance is killed in the middle, and not one download breaks.

    Makes its own network namespaces (needs root) and removes them in the end, also after Ctrl-C.

    Example: snf demo scaling, and snf demo --quick, and then: snf demo --quick --baseline
    """
    from statelessnf.demo.play import run_demo
    from statelessnf.demo.stage import Request

    raise typer.Exit(run_demo(story, Request(baseline, quick, switch, files, size, json, output)))


add_commands(app)
app.add_typer(bench, name="bench")
