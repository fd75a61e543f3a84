"""Arguments of `snf bench failover`, `asymmetry`, `scaling`: what users notice of failures, paths and growth.

What they do is in `statelessnf.bench`; all need root, make their own network namespaces and remove them in the end,
also after Ctrl-C.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from statelessnf.cli_bench import Json, Output, bench

__all__ = ["bench"]


class Side(StrEnum):
    """What is measured."""

    stateless = "stateless"
    baseline = "baseline"
    linux = "linux"


class PathSide(StrEnum):
    """What packets can be led through in several ways."""

    stateless = "stateless"
    baseline = "baseline"
    plain = "plain"
    linux = "linux"


class ElasticSide(StrEnum):
    """What can grow and shrink."""

    stateless = "stateless"
    baseline = "baseline"


class FailureKind(StrEnum):
    """What happens to an instance (bench/subjects/subject.py)."""

    kill = "kill"
    stop = "stop"
    cut = "cut"
    move = "move"


EVERY_SIDE, EVERY_ELASTIC, EVERY_FAILURE = list(Side), list(ElasticSide), list(FailureKind)
EVERY_PATH = list(PathSide)

Runs = Annotated[int, typer.Option(min=0, max=1000, help="Runs of each side, in turn; medians and spread count.")]
Sides = Annotated[
    list[Side], typer.Option("--side", help="Instances without state, with local state (the paper's baseline), "
                             "or two Linux firewalls with conntrackd and keepalived; may be given more than once.")
]  # fmt: skip
Size = Annotated[int, typer.Option(min=1, max=1 << 32, help="Bytes of a download.")]


@bench.command()
def failover(
    downloads: Annotated[int, typer.Option(min=1, max=100_000, help="Downloads in a run, 100 at a time.")] = 500,
    size: Size = 20_000_000,
    timeout: Annotated[
        float, typer.Option(min=0.5, max=600, help="Seconds without a byte after which a client gives up.")
    ] = 20.0,
    rate: Annotated[int, typer.Option(min=100, max=100_000, help="Packets a second of the UDP stream.")] = 10_000,
    runs: Runs = 5,
    trials: Annotated[int, typer.Option(min=0, max=1000, help="Of each failure under the stream alone.")] = 10,
    failure: Annotated[
        list[FailureKind],
        typer.Option(help="Killed, stopped, cut off, or moved by plan; may be given more than once."),
    ] = EVERY_FAILURE,
    side: Sides = EVERY_SIDE,
    output: Output = Path("out/bench"),
    json: Json = False,
) -> None:
    """How long downloads take with an instance killed in the middle, and for how long nothing comes (Figure 8).

    A side that cannot cope with a kind of failure is left out of it.

    Example: snf bench failover --downloads 100 --size 2000000 --runs 5
    """
    from statelessnf.bench.failover_runs import Plan
    from statelessnf.bench.subjects.subject import Failure
    from statelessnf.commands import bench_failures as commands
    from statelessnf.commands.bench import BenchRequest

    if runs + trials == 0:
        raise typer.BadParameter("nothing to do with no runs and no trials", param_hint="--runs")
    plan = Plan(downloads, size, timeout, rate)
    kinds = [Failure(kind) for kind in failure]
    commands.failover(BenchRequest(output, runs, json=json), plan, [one.value for one in side], kinds, trials)


@bench.command()
def asymmetry(
    size: Size = 20_000_000,
    turns: Annotated[int, typer.Option(min=1, max=1000, help="Alternating slices of each way.")] = 5,
    slice_ms: Annotated[
        int, typer.Option(min=100, max=60_000, help="Length of a slice; each way has three in a turn.")
    ] = 3000,
    side: Annotated[
        list[PathSide], typer.Option(help="As for failover, or processes that only forward (plain); repeatable.")
    ] = EVERY_PATH,
    output: Output = Path("out/bench"),
    json: Json = False,
) -> None:
    """Connections and goodput with each direction, or each packet, through another instance (Figure 2d).

    Example: snf bench asymmetry --turns 10 --slice-ms 5000
    """
    from statelessnf.commands import bench_failures as commands
    from statelessnf.commands.bench import BenchRequest

    commands.asymmetry(BenchRequest(output, turns, slice_ms, json), [one.value for one in side], size)


@bench.command()
def scaling(
    rate: Annotated[float, typer.Option(min=100, max=1_000_000, help="Packets a second of the lowest level.")] = 10_000,
    step_s: Annotated[float, typer.Option(min=0.5, max=600, help="Seconds that a level lasts.")] = 5.0,
    runs: Annotated[int, typer.Option(min=1, max=1000, help="Runs of each side, in turn.")] = 5,
    side: Annotated[list[ElasticSide], typer.Option(help="May be given more than once.")] = EVERY_ELASTIC,
    output: Output = Path("out/bench"),
    json: Json = False,
) -> None:
    """What arrives of a load that rises and falls while instances are added and taken away (Figure 9).

    Example: snf bench scaling --rate 20000
    """
    from statelessnf.commands import bench_failures as commands
    from statelessnf.commands.bench import BenchRequest

    commands.scaling(BenchRequest(output, runs, json=json), [one.value for one in side], rate, step_s)
