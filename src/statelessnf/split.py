"""How a replay divides packets among its instances. A file of its own: the command line needs it before all else."""

from __future__ import annotations

from enum import StrEnum


class Split(StrEnum):
    """How packets are divided among the instances of a replay."""

    flow = "flow"  # all packets of a flow in one
    packet = "packet"  # round robin
    direction = "direction"  # those from inside and those from outside never in the same one
