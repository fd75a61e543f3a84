"""What may happen to several engines beside the packets that they get: the moves of scripts (engine_world.py)."""

from __future__ import annotations

from collections.abc import Callable

from engine_world import World

WAITS = (500, 5_000, 50_000, 300_000, 300_000, 1_200_000, 9_000_000, 40_000_000)  # us

Act = Callable[[World, int, int], None]  # on a node, with a number
ACTS: dict[str, Act] = {
    "round": lambda world, node, _: world.round(node),
    "step": lambda world, node, _: world.step(node),
    "serve": lambda world, node, value: world.serve(node, value % 4 + 1),
    "deliver": lambda world, node, value: world.deliver(node, value % 3 + 1),
    "wait": lambda world, _, value: world.wait(WAITS[value % len(WAITS)]),
    "cut": lambda world, node, value: world.cut(node, late=value % 2 == 1),
    "connect": lambda world, node, _: world.connect(node),
    "crash": lambda world, node, _: world.crash(node),
    "memory": lambda world, _, value: world.limit_memory(0 if value % 2 else None),
    "calm": lambda world, _, __: world.calm(),
    "late": lambda world, _, __: world.serve_late(),
}
