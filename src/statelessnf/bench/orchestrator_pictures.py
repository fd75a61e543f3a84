"""Pictures of `snf bench chaos`, `suspicion` and `controller`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from statelessnf.bench.chaos import Story
from statelessnf.bench.chaos_bed import Harm
from statelessnf.bench.controller import LIMIT_MS, REACTION_BAR_MS, Run
from statelessnf.bench.instruments.stream import BIN
from statelessnf.bench.pictures import new_figure, save
from statelessnf.bench.suspicion import Pair

SHOWN = ("lead", "suspect", "live", "end", "kill", "start", "steer", "adopt")  # kinds of events, others above them


def chaos(story: Story, path: Path) -> None:
    """What came of the stream over time, what was done, and what the orchestrators say they did."""
    figure, (came, done, told) = new_figure(3, 1, figsize=(14, 8), sharex=True)
    came.plot([at for at, _ in story.bins], [count / BIN for _, count in story.bins], linewidth=0.7)
    for second in story.lossy_seconds:
        came.axvspan(second, second + 1, color="tab:red" if second in story.unexplained else "tab:orange", alpha=0.25)
    came.set(ylabel="packets/s", ylim=(0, None), title="the stream; seconds with losses (red: not explained)")
    harms = list(Harm)
    for one in story.done:
        done.plot([one.at, one.at + (one.settled_s or 0.0)], [harms.index(one.harm)] * 2, "k-", linewidth=2)
        done.plot(one.at, harms.index(one.harm), "rx")
    done.set_yticks(range(len(harms)), [str(harm) for harm in harms])
    done.set(title="what was done, and until when everything had settled")
    kinds = [*SHOWN, *sorted({event["kind"] for event in story.events} - set(SHOWN))]
    told.plot([event["at"] for event in story.events], [kinds.index(event["kind"]) for event in story.events], "|")
    told.set_yticks(range(len(kinds)), kinds)
    told.set(title="what the orchestrators say", xlabel="seconds", xlim=(-1, story.seconds + 1))
    save(figure, path)


def suspicion(pairs: Sequence[Pair], path: Path) -> None:
    """Goodput of each pair."""
    figure, axis = new_figure(1, 1, figsize=(7, 4.5))
    for offset, which, label in ((-0.2, "calm", "in peace"), (0.2, "harassed", "beats lost, pauses")):
        heights = [getattr(pair, which).goodput for pair in pairs]
        axis.bar([number + offset for number in range(len(pairs))], heights, 0.36, label=label)
    axis.set(ylabel="Mbit/s", xlabel="pair", title="goodput of downloads under false suspicion")
    axis.legend()
    save(figure, path)


def controller(runs: Sequence[Run], path: Path) -> None:
    """CPU share of each run, and all reactions."""
    figure, (cpu, reactions) = new_figure(1, 2, figsize=(11, 4.5))
    cpu.bar(range(len(runs)), [100 * run.cpu for run in runs])
    cpu.axhline(2, color="tab:red", linestyle="--", linewidth=1)
    cpu.set(ylabel="% of a core", xlabel="run", title=f"CPU with {runs[0].instances} instances")
    for label in ("silences_ms", "ends_ms"):
        values = sorted(value for run in runs for value in getattr(run, label))
        shares = [(number + 1) / len(values) for number in range(len(values))]
        reactions.plot(values, shares, label=f"{label.partition('_')[0]}")
    reactions.axvline(REACTION_BAR_MS, color="tab:red", linestyle="--", linewidth=1)
    reactions.set(xlabel="ms", ylabel="share", title=f"until the switch was told (silences: beyond {LIMIT_MS} ms)")
    reactions.legend()
    save(figure, path)
