"""Which server a new flow gets: nextServer() of the paper's Algorithm 1, for each policy. Pure: hash and tables decide.

Any number of identical instances choose at once and share no counter, so each policy is a hash into `slots`, which the
policy has filled (balancer_tables.py) with the servers that take new flows:
  round_robin        each server once. A common turn would cost a write to one key for every flow; the hash of the flow
                     gives every server the same share instead, within the noise of chance.
  weighted           each server as often as its weight says.
  consistent_hash    a Maglev table: a change of the servers moves few hashes. With affinity: few clients.
  least_connections  each server once; of two taken by hash the one with fewer connections for its weight, the surer the
                     fewer. Loads are counted in the store and reach all instances at once, and late: the least loaded
                     server of all would be overrun until the next time, and in a small pool the better of two just so
                     (Mitzenmacher, "How Useful Is Old Information?", 2000). A chance in proportion overruns nobody.
Affinity takes the hash of the source address in place of the flow's. It has no secret: who owns many addresses can aim.
"""

from typing import Any

from statelessnf.sequence import add32

ROUND_ROBIN, WEIGHTED, CONSISTENT_HASH, LEAST_CONNECTIONS = range(4)
POLICIES = ("round_robin", "weighted", "consistent_hash", "least_connections")
BY_FLOW, BY_SOURCE = range(2)
AFFINITIES = ("none", "source")
NO_SERVER = -1

_MASK = 0xFFFFFFFF
_STEP = 0x9E3779B9  # 2^32 divided by the golden ratio: attempts lie far apart


def mix32(value: int) -> int:
    """The finalizer of MurmurHash3: 32 bits to 32 bits, one to one, each bit depends on all."""
    value = int(value) & _MASK
    value = (value ^ value >> 16) * 0x85EBCA6B & _MASK
    value = (value ^ value >> 13) * 0xC2B2AE35 & _MASK
    return value ^ value >> 16


def source_hash(packet: Any) -> int:
    """32 bits from the source address alone."""
    high, low = packet.source_high + 0, packet.source_low + 0
    value = mix32(high >> 32 & _MASK)
    value = mix32(value ^ high & _MASK)
    value = mix32(value ^ low >> 32 & _MASK)
    return mix32(add32(value, _STEP) ^ low & _MASK)


def flow_bits(packet: Any, affinity: int) -> int:
    """32 bits that decide, others for each attempt (the server that came out has the client's port in use)."""
    bits = source_hash(packet) if affinity == BY_SOURCE else (packet.flow_hash + 0) >> 32 & _MASK
    return mix32(add32(bits, packet.attempt * _STEP)) if packet.attempt else bits


def scaled(bits: int, count: int) -> int:
    """32 bits as a number below `count`, evenly."""
    return bits * count >> 32


def next_server(packet: Any, tables: Any, service: int) -> int:
    """Index into `tables.servers` for a new flow of a service, or NO_SERVER."""
    first, count = tables.pools[service].first + 0, tables.pools[service].count + 0
    if count == 0:
        return NO_SERVER
    bits = flow_bits(packet, tables.pools[service].affinity)
    place = scaled(bits, count)
    one = tables.slots[first + place].server + 0
    if tables.pools[service].policy != LEAST_CONNECTIONS:
        return int(one)
    other_place = (place + 1 + scaled(mix32(bits ^ _STEP), count - 1)) % count  # another one, where there is another
    other = tables.slots[first + other_place].server + 0
    return int(one if is_lighter(tables, one, other, mix32(bits) >> 19) else other)


def is_lighter(tables: Any, one: int, other: int, chance: int) -> bool:
    """True with probability a / (a + b), a and b being one's and the other's room: weight for each connection.

    `chance`: 13 bits, so that nothing here exceeds 63.
    """
    room = (tables.loads[other].connections + 1) * tables.servers[one].weight
    others_room = (tables.loads[one].connections + 1) * tables.servers[other].weight
    return bool(chance * (room + others_room) >> 13 < room)
