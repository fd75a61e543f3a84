"""Arguments of `snf bench chaos`, `suspicion` and `controller`: what the orchestrator withstands and costs.

What they do is in `statelessnf.bench`. The first two need root, make their own network namespaces and remove them in
the end, also after Ctrl-C.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from statelessnf.cli_bench import Json, Output
from statelessnf.cli_bench_failures import bench

__all__ = ["bench"]


class HarmKind(StrEnum):
    """What is done (bench/chaos_bed.py)."""

    kill = "kill"
    stop = "stop"
    cut = "cut"
    leader = "leader"
    switch = "switch"
    restart = "restart"
    replica = "replica"
    pause = "pause"


EVERY_HARM: list[HarmKind] = []  # that there is with the switch
Runs = Annotated[int, typer.Option(min=1, max=1000, help="Medians and spread count.")]
Seed = Annotated[int, typer.Option(min=0, max=1 << 32, help="Of what is random; the first run's.")]


@bench.command()
def chaos(
    minutes: Annotated[float, typer.Option(min=0, max=10_000, help="Length of a run.")] = 10.0,
    seconds: Annotated[float, typer.Option(min=0, max=600_000, help="Instead of minutes; 0: as they say.")] = 0.0,
    seed: Seed = 1,
    switch: Annotated[Literal["nftables", "openvswitch"], typer.Option(help="What steers.")] = "nftables",
    harm: Annotated[
        list[HarmKind],
        typer.Option(
            help="An instance killed, stopped, cut off or paused; the leading orchestrator killed; the rules of the "
            "switch gone (nftables) or the switch restarted (Open vSwitch); a store's replica killed. May be given "
            "more than once. All of them, if it is not given."
        ),
    ] = EVERY_HARM,
    runs: Runs = 1,
    output: Output = Path("out/bench"),
    json: Json = False,
) -> None:
    """Random harm to everything under load: what breaks, what is lost, and whether the events explain it.

    Example: snf bench chaos --minutes 10, and then: snf bench chaos --switch openvswitch
    """
    from statelessnf.bench.chaos_bed import Harm
    from statelessnf.commands import bench_orchestrator as commands
    from statelessnf.commands.bench import BenchRequest

    length = seconds or 60 * minutes
    commands.chaos(BenchRequest(output, runs, json=json), switch, [Harm(one) for one in harm], length, seed)


@bench.command()
def suspicion(
    downloads: Annotated[int, typer.Option(min=1, max=100_000, help="In each half of a pair, 100 at a time.")] = 500,
    size: Annotated[int, typer.Option(min=1, max=1 << 32, help="Bytes of a download.")] = 2_000_000,
    seed: Seed = 1,
    runs: Runs = 5,
    output: Output = Path("out/bench"),
    json: Json = False,
) -> None:
    """Downloads with every second heartbeat lost and pauses of 20 ms, and without: pairs, in alternating order.

    Example: snf bench suspicion --downloads 100
    """
    from statelessnf.commands import bench_orchestrator as commands
    from statelessnf.commands.bench import BenchRequest

    commands.suspicion(BenchRequest(output, runs, json=json), downloads, size, seed)


@bench.command()
def controller(
    instances: Annotated[
        int, typer.Option(min=10, max=1000, help="Simulated ones that beat 200 times a second.")
    ] = 100,
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="For which CPU time is taken.")] = 10.0,
    trials: Annotated[
        int, typer.Option(min=1, max=1000, help="Instances that fall silent, one after the other.")
    ] = 100,
    runs: Runs = 5,
    output: Output = Path("out/bench"),
    json: Json = False,
) -> None:
    """What the controller costs with many instances, and how soon it reacts.

    Example: snf bench controller --instances 100
    """
    from statelessnf.commands import bench_orchestrator as commands
    from statelessnf.commands.bench import BenchRequest

    trials = min(trials, instances)  # each at most once: who is suspected often is replaced
    commands.controller(BenchRequest(output, runs, json=json), instances, seconds, trials)
