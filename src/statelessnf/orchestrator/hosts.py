"""What each slot of a host gets of what the host has; pure.

Cores and memory are handed out of what was measured (driver.Capacity), less what the section of the host withholds and
what runs there has already. What cannot be is refused with the reason, before anything is started.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from statelessnf.errors import Refused
from statelessnf.orchestrator.drivers.driver import Capacity, Slot
from statelessnf.orchestrator.section import HostSection


@dataclass(frozen=True)
class Share:
    """Of one instance: `cores`: none are any; `memory_mb`: 0 is no limit. See `Launch`."""

    cores: tuple[int, ...] = ()
    memory_mb: int = 0


def share(section: HostSection, capacity: Capacity, slot: int, used: Mapping[int, Share]) -> Share:
    """What an instance in `slot` gets; `used`: what those have that run there, by slot.

    `capacity` is to be measured now: interfaces come and go. Raises Refused: why there can be none.
    """
    if slot in used:
        raise Refused(f"slot {slot} is taken", _where(section), "wait until its instance has ended")
    _check_interfaces(section, capacity, section.slots[slot])
    return _of_the_rest(section, capacity, used)


def room(section: HostSection, capacity: Capacity, running: Collection[int] = ()) -> tuple[int, str]:
    """How many instances can run there at the same time, and what is in the way of one in each slot; empty: nothing.

    `running`: slots with an instance, whose interfaces may be within its container.
    """
    used: dict[int, Share] = {}
    why = ""
    for number, slot in enumerate(section.slots):
        try:
            if number not in running:
                _check_interfaces(section, capacity, slot)
            used[number] = _of_the_rest(section, capacity, used)
        except Refused as error:
            why = why or error.line()
    return len(used), why


def interfaces_of(section: HostSection, slot: Slot) -> list[str]:
    """Those that the slot needs, as Capacity names them."""
    ports = (slot.inside, slot.outside) if section.driver == "process" else ()
    named = [name for port in ports for name in re.findall(r",iface=([^,]+)", port)]
    space = "" if slot.namespace is None else f"{slot.namespace}/"
    return [f"{space}{name}" for name in dict.fromkeys([*slot.interfaces, *named])]


def unlimited(section: HostSection, capacity: Capacity) -> str:
    """That a limit cannot be enforced there; empty: none is wanted, or it can."""
    if section.memory_per_instance_mb == 0 or capacity.limits_memory:
        return ""
    what = "memory_per_instance_mb is counted but not enforced"
    return f"{_where(section)}: {what}; the host has no control groups (version 2) that the orchestrator may write"


def _of_the_rest(section: HostSection, capacity: Capacity, used: Mapping[int, Share]) -> Share:
    return Share(_cores(section, capacity, used), _memory(section, capacity, used))


def _check_interfaces(section: HostSection, capacity: Capacity, slot: Slot) -> None:
    missing = [name for name in interfaces_of(section, slot) if name not in capacity.interfaces]
    if missing and capacity.interfaces:
        do = "make them, or correct the slot"
        raise Refused(f"the host has no interface {', '.join(missing)}", _where(section), do)


def _cores(section: HostSection, capacity: Capacity, used: Mapping[int, Share]) -> tuple[int, ...]:
    given = capacity.cores if section.cores is None else section.cores
    if missing := sorted(set(given) - set(capacity.cores)):
        there = ", ".join(map(str, capacity.cores))
        raise Refused(f"core {missing[0]} is not there; it has {there}", _where(section), "correct cores")
    wanted = section.cores_per_instance
    if wanted == 0:
        return () if section.cores is None else section.cores
    taken = {core for one in used.values() for core in one.cores}
    free = [core for core in given if core not in taken]
    if len(free) < wanted:
        what = f"{len(free)} of {len(given)} cores are free, and an instance gets {wanted}"
        raise Refused(what, _where(section), "lower cores_per_instance, or use fewer slots")
    return tuple(free[:wanted])


def _memory(section: HostSection, capacity: Capacity, used: Mapping[int, Share]) -> int:
    if section.memory_mb > capacity.memory_mb:
        what = f"memory_mb: {section.memory_mb} MB are more than it has ({capacity.memory_mb})"
        raise Refused(what, _where(section), "correct memory_mb")
    total, wanted = section.memory_mb or capacity.memory_mb, section.memory_per_instance_mb
    free = total - sum(one.memory_mb for one in used.values())
    if wanted > free:
        what = f"{free} of {total} MB are free, and an instance gets {wanted}"
        raise Refused(what, _where(section), "lower memory_per_instance_mb, or use fewer slots")
    return wanted


def _where(section: HostSection) -> str:
    return f"host {section.name}"
