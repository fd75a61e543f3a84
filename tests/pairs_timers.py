"""The end of flows whose life a timer ends, over a simulated store: one pass, as snf_timer_claim and snf_expire make it
(store/statelessnf.lua), by an instance that nothing happens to.
"""

from __future__ import annotations

from engine_world import ENVELOPE
from pairs_world import PairsWorld
from statelessnf.store.simulated import SimulatedServer
from statelessnf.store.simulated_link import Link

TOKEN = 8


def expire_due(world: PairsWorld) -> None:
    """Every timer that is due: its flow ends, or it is armed again where the record lives on."""
    server = world.server
    caller = server.connect()
    world.turn += 1
    world.chronicle.turn = world.turn
    for kept in list(server.functions.timers):
        for flow, due in list(server.functions.timers[kept].items()):
            if due <= world.now_ms:
                _expire(server, caller, kept, flow)


def _expire(server: SimulatedServer, caller: Link, kept: bytes, flow: bytes) -> None:
    value = server.values.get(flow)
    deadline = 0 if value is None else int.from_bytes(value[ENVELOPE - 8 : ENVELOPE], "little")
    if deadline > server.now_us // 1000:
        server.functions.timers[kept][flow] = deadline
        return
    entries, counters = (kept[:8] + kind + kept[9:] for kind in (b"e", b"c"))
    entry = server.functions.entries[entries].pop(flow)
    del server.functions.timers[kept][flow]
    name = entry[TOKEN + 1 : TOKEN + 1 + entry[TOKEN]]
    if name:
        counted = server.functions.counters[counters]
        counted[name] -= 1
        if counted[name] == 0:
            del counted[name]
    partner = entry[TOKEN + 1 + entry[TOKEN] :]
    for key in (flow, partner) if value is not None else ():
        if server.values.get(key) == value:  # else it is somebody else's by now
            server.delete(caller, key)
