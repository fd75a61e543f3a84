"""Arguments of the commands that ask a running orchestrator; what they do is in `statelessnf.commands`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

EXIT_CODES = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no orchestrator runs."

Deployment = Annotated[
    str,
    typer.Argument(
        metavar="DEPLOYMENT", help="FILE.toml, the deployment's name, or http://ADDRESS:PORT (token: SNF_TOKEN).",
        show_default=False,
    ),
]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, for programs.")]
InstanceName = Annotated[str, typer.Argument(metavar="INSTANCE", help="Its name, see snf status.", show_default=False)]
RecordId = Annotated[str, typer.Argument(metavar="ID", help="Of the record, see snf flows.", show_default=False)]


def _size(text: str) -> int | None:
    """`auto`: None."""
    if text == "auto":
        return None
    if not re.fullmatch(r"[0-9]{1,4}", text):
        raise typer.BadParameter(f"{text!r} is neither a number nor auto")
    return int(text)


def _values(texts: list[str]) -> dict[str, int]:
    """NAME=NUMBER, several times."""
    for text in texts:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*=-?[0-9]{1,20}", text):
            raise typer.BadParameter(f"{text!r} is not of the form NAME=NUMBER, such as state=3")
    return {name: int(value) for name, _, value in (text.partition("=") for text in texts)}


def up(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="The deployment file.", show_default=False)],
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Be the orchestrator, until Ctrl-C; instances run on.")
    ] = False,
    standby: Annotated[
        bool, typer.Option("--standby", help="Wait beside one that runs already, and take over when it is gone.")
    ] = False,
    json: Json = False,
) -> None:
    """Start a deployment: from now on there is one network function, and an orchestrator that watches over it.

    Where instances of it run already, since its orchestrator died or was stopped, they are adopted.

    Example: snf up edge.toml, and then: snf status edge.toml
    """
    from statelessnf.commands import up as command

    if foreground:
        command.foreground(file, standby=standby)
    else:
        command.background(file, standby=standby, as_json=json)


def status(
    deployment: Deployment,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again each second, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Show a running deployment: its instances, hosts and switch.

    Example: snf status edge.toml --watch
    """
    from statelessnf.commands.status import status as command

    command(deployment, as_json=json, watch=watch)


def scale(
    deployment: Deployment,
    size: Annotated[str, typer.Argument(metavar="SIZE", help="How many instances, or auto.", show_default=False)],
    json: Json = False,
) -> None:
    """Set how many instances carry traffic; auto lets the load decide again.

    Example: snf scale edge.toml 3
    """
    from statelessnf.commands.operate import scale as command

    command(deployment, _size(size), as_json=json)


def drain(
    deployment: Deployment,
    instance: InstanceName,
    undo: Annotated[bool, typer.Option("--undo", help="It may have traffic again.")] = False,
    json: Json = False,
) -> None:
    """Take the traffic off an instance; no connection breaks.

    Example: snf drain edge.toml edge-1
    """
    from statelessnf.commands.operate import drain as command

    command(deployment, instance, not undo, as_json=json)


def kill(deployment: Deployment, instance: InstanceName, json: Json = False) -> None:
    """Kill an instance with SIGKILL, to see that no connection breaks.

    Example: snf kill edge.toml edge-1
    """
    from statelessnf.commands.operate import kill as command

    command(deployment, instance, as_json=json)


def events(
    deployment: Deployment,
    after: Annotated[int, typer.Option(min=0, metavar="NUMBER", help="Only those with higher numbers.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they happen, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Show what happened, oldest first: starts, suspicions, steering, scaling, orders.

    Example: snf events edge.toml --follow
    """
    from statelessnf.commands.events import events as command

    command(deployment, after, follow=follow, as_json=json)


def down(deployment: Deployment, json: Json = False) -> None:
    """Stop a deployment: its instances, its steering, its orchestrator.

    Example: snf down edge.toml
    """
    from statelessnf.commands.operate import down as command

    command(deployment, as_json=json)


class _ListByDefault(TyperGroup):
    """`snf flows edge` is `snf flows list edge`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # own Context
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


flows = typer.Typer(
    name="flows", cls=_ListByDefault, no_args_is_help=True,
    help="See and change the state of all flows, decoded.\n\nExample: snf flows edge.toml --port 443",
)  # fmt: skip


@flows.command(name="list")
def list_flows(
    deployment: Deployment,
    network: Annotated[str | None, typer.Option(metavar="NETWORK", help="One of the addresses is in it.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="One of the two ports.")] = None,
    protocol: Annotated[str | None, typer.Option(metavar="NAME", help="tcp, udp, icmp, …")] = None,
    field: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NUMBER", help="A field of the record; may be given again.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Records at most.")] = 100,
    cursor: Annotated[str, typer.Option(help="Where the list before ended.", show_default=False)] = "",
    json: Json = False,
) -> None:
    """List records that fit all that is given.

    Example: snf flows edge.toml --network 10.0.0.0/8 --port 443 --field state=3
    """
    from statelessnf.commands.flows import Wanted
    from statelessnf.commands.flows import list_flows as command

    wanted = Wanted(network, port, protocol, _values(field or []), limit, cursor)
    command(deployment, wanted, as_json=json)


@flows.command()
def inspect(deployment: Deployment, id: RecordId, json: Json = False) -> None:
    """Show one record.

    Example: snf flows inspect edge.toml ID
    """
    from statelessnf.commands.flows import inspect as command

    command(deployment, id, as_json=json)


@flows.command()
def modify(
    deployment: Deployment,
    id: RecordId,
    changes: Annotated[list[str], typer.Argument(metavar="NAME=NUMBER", help="New values.", show_default=False)],
    json: Json = False,
) -> None:
    """Change fields of a record, as a commit: instances see it at once.

    Example: snf flows modify edge.toml ID state=7
    """
    from statelessnf.commands.flows import modify as command

    command(deployment, id, _values(changes), as_json=json)


@flows.command()
def delete(deployment: Deployment, id: RecordId, json: Json = False) -> None:
    """Delete a record: the flow's next packet is that of a new flow.

    Example: snf flows delete edge.toml ID
    """
    from statelessnf.commands.flows import delete as command

    command(deployment, id, as_json=json)


def add_commands(app: typer.Typer) -> None:
    """Adds all of them to `app`."""
    for command in (up, status, scale, drain, kill, events, down):
        app.command(epilog=EXIT_CODES)(command)
    app.add_typer(flows, name="flows", epilog=EXIT_CODES)
