"""Arguments of `snf bench …`: the measurements of the paper's section 7. What they do is in `statelessnf.bench`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

bench = typer.Typer(
    name="bench", help="Measure the store, the throughput and the latency on this machine.", no_args_is_help=True
)


class ShapeName(StrEnum):
    """Kinds of traffic (§7.2.1)."""

    long = "long"
    short = "short"
    enterprise = "enterprise"
    new = "new"


class PortKind(StrEnum):
    """What packets come through."""

    memory = "memory"
    memif = "memif"


class Flooded(StrEnum):
    """Functions that floods are let loose against."""

    firewall = "firewall"
    nat = "nat"
    load_balancer = "load_balancer"


EVERY_SHAPE = list(ShapeName)
FUNCTIONS = ["firewall", "nat", "load_balancer"]
EVERY_FLOODED = list(Flooded)
FRAME_SIZES = [64, 128, 256, 512, 1024, 1500]  # bytes, with the FCS

Output = Annotated[Path, typer.Option(metavar="DIR", help="Where JSON and pictures go.")]
Turns = Annotated[int, typer.Option(min=1, max=1000, help="Alternating slices of each side.")]
SliceMs = Annotated[int, typer.Option(min=1, max=10_000, help="Length of a slice.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, for programs.")]
Function = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="firewall (the default), nat or load_balancer, with a deployment that comes along."
    ),
]
File = Annotated[
    Path | None,
    typer.Option("--deployment", metavar="FILE", help="A deployment file instead; its store and ports are not used."),
]
Store = Annotated[str | None, typer.Option(metavar="URL", help="A running store instead of an embedded one.")]


def _chosen(function: str | None, deployment: Path | None) -> tuple[str, Path | None]:
    if function is not None and deployment is not None:
        raise typer.BadParameter("a deployment file says which function", param_hint="--function")
    return function or "firewall", deployment


@bench.command()
def store(
    output: Output = Path("out/bench"),
    turns: Turns = 20,
    slice_ms: SliceMs = 100,
    store: Store = None,
    json: Json = False,
) -> None:
    """The store's own rates and latencies, from the least of clients.

    Example: snf bench store --store unix:///run/valkey.sock
    """
    from statelessnf.commands import bench as commands

    commands.store(commands.BenchRequest(output, turns, slice_ms, json, store))


@bench.command()
def throughput(
    shape: Annotated[list[ShapeName], typer.Option(help="Kind of traffic; may be given more than once.")] = EVERY_SHAPE,
    frame_bytes: Annotated[
        list[int], typer.Option(min=64, max=1518, help="Frame size with FCS; may be given more than once.")
    ] = FRAME_SIZES,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Capture for the shape `enterprise`; left out without one.")
    ] = None,
    port: Annotated[
        PortKind,
        typer.Option(help="memif: long flows through real instances, compared with a process that only forwards."),
    ] = PortKind.memory,
    output: Output = Path("out/bench"),
    turns: Turns = 20,
    slice_ms: SliceMs = 100,
    store: Store = None,
    function: Function = None,
    deployment: File = None,
    json: Json = False,
) -> None:
    """Packets a second with and without a store (Figures 5 and 6), every side in turn with the others.

    A function that rewrites packets is compared with the firewall, too. Shape `new`, for nat: how many new flows a
    second, compared with the store's own creations of two keys.

    Example: snf bench throughput --function nat --shape long --frame-bytes 64 --turns 30
    """
    from statelessnf.commands import bench as commands

    request = commands.BenchRequest(output, turns, slice_ms, json, store, *_chosen(function, deployment))
    if port is PortKind.memory:
        commands.throughput(request, [name.value for name in shape], frame_bytes, trace)
        return
    if ShapeName.long not in shape:
        raise typer.BadParameter("memif is measured with long flows", param_hint="--shape")
    from statelessnf.commands.bench_ports import memif

    memif(request, frame_bytes)


@bench.command()
def latency(
    output: Output = Path("out/bench"),
    turns: Turns = 20,
    slice_ms: SliceMs = 500,
    store: Store = None,
    function: Function = None,
    deployment: File = None,
    json: Json = False,
) -> None:
    """How long packets take through an instance on AF_XDP ports at 20,000 a second (Figure 7); needs root.

    Makes its own network namespaces and removes them in the end, also after Ctrl-C.

    Example: snf bench latency --function nat --turns 30
    """
    from statelessnf.commands.bench import BenchRequest
    from statelessnf.commands.bench_ports import latency as command

    command(BenchRequest(output, turns, slice_ms, json, store, *_chosen(function, deployment)))


@bench.command()
def access(
    deployments: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Deployments of further functions.")
    ] = None,
    function: Annotated[
        list[str], typer.Option(metavar="NAME", help="Function; may be given more than once.")
    ] = FUNCTIONS,
    output: Output = Path("out/bench"),
    slice_ms: SliceMs = 2000,
    store: Store = None,
    json: Json = False,
) -> None:
    """What functions read and commit for each packet and flow (Table 1), cache off and tracked.

    Example: snf bench access examples/rate-limiter.toml
    """
    from statelessnf.commands.bench import BenchRequest
    from statelessnf.commands.bench_access import access as command

    command(BenchRequest(output, slice_ms=slice_ms, json=json, store=store), function, deployments or [])


@bench.command()
def footprint(
    output: Output = Path("out/bench"),
    runs: Annotated[int, typer.Option(min=1, max=100, help="How often; the median counts.")] = 5,
    json: Json = False,
) -> None:
    """Memory, start-up time and idle CPU of an instance on AF_XDP ports, with an embedded store; needs root.

    Makes its own network namespaces and removes them in the end, also after Ctrl-C.

    Example: snf bench footprint --runs 10
    """
    from statelessnf.commands.bench import BenchRequest
    from statelessnf.commands.bench_footprint import footprint as command

    command(BenchRequest(output, runs, json=json))


@bench.command()
def floods(
    function: Annotated[list[Flooded], typer.Option(help="May be given more than once.")] = EVERY_FLOODED,
    output: Output = Path("out/bench"),
    turns: Turns = 20,
    slice_ms: SliceMs = 1000,
    json: Json = False,
) -> None:
    """What established flows keep of their goodput under SYN flood, UDP flood and port scan; needs root.

    Makes its own network namespaces and removes them in the end, also after Ctrl-C.

    Example: snf bench floods --function nat
    """
    from statelessnf.commands.bench import BenchRequest
    from statelessnf.commands.bench_floods import floods as command

    command(BenchRequest(output, turns, slice_ms, json), [name.value for name in function])
