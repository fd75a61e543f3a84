"""How many instances carry the traffic: a pure policy over what their pipes say of themselves.

Work is measured in pipes' worths: the utilisation of all carriers together, whoever they are; divided by the size that
is wanted, it says what each will have once all of them are there. So an instance that fails, and the load that others
take over from it, are no reason to scale. More are wanted if that is above `high`, if carriers drop packets for want of
buffers, or if packets stay too long in them; less if the others would still be below `low` with one less.

A steady load leads to a finite number of changes: what is above `high` with n is not below `low` with n + 1; and where
n dropped packets or took too long, there will be no n again until the load is less by a fifth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from statelessnf.orchestrator.model import Health, Observed, Sighting
from statelessnf.orchestrator.section import ScalingSection

RELIEF = 0.8  # of the load under which an instance was added for drops or latency: below, it may go again


@dataclass(frozen=True)
class Scaling:
    """`size`: instances that are to carry; `why` it became so. The rest is what the policy remembers."""

    size: int
    why: str = ""
    high_since: float | None = None
    low_since: float | None = None
    not_before: float = 0.0  # cool-down: no change earlier
    settled: bool = False  # that many have carried since the last change
    floor: int = 0  # not below, as long as nearly `floor_packets` a second come
    floor_packets: float = 0.0


@dataclass(frozen=True)
class _Strain:
    """What the carriers say together."""

    carriers: int
    work: float  # sum of utilisations
    offered: float  # the same with what was dropped
    drops: float  # packets a second
    packets: float  # that came a second, dropped or not
    latency_us: float


def decide(state: Scaling, section: ScalingSection, minimum: int, maximum: int, observed: Observed) -> Scaling:
    """The next state. Nothing is decided while a carrier is not live, or none is known: then nothing is known."""
    size = min(max(state.size, minimum), maximum)
    if size != state.size:
        state = _changed(state, section, observed.now, size, f"between {minimum} and {maximum} are wanted")
    carriers = _carriers(observed)
    if carriers is None or not section.enabled:
        return replace(state, high_since=None, low_since=None)
    state = _arrived(state, section, len(carriers), observed.now)
    strain = _strain(carriers)
    if strain.packets < RELIEF * state.floor_packets:
        state = replace(state, floor=0, floor_packets=0.0)
    state = _noted(state, section, strain, max(minimum, state.floor), observed.now)
    return _decided(state, section, maximum, strain, observed.now)


def _carriers(observed: Observed) -> list[Sighting] | None:
    """Those that get traffic; None if that is nobody, or one of them is not live."""
    steered = set(observed.steered or ())
    live = [one for one in observed.instances if one.name in steered and one.health is Health.live]
    return live if live and len(live) == len(steered) else None


def _strain(carriers: list[Sighting]) -> _Strain:
    loads = [one.load for one in carriers]
    packets = sum(load.packets for load in loads)
    slow = sum(load.latency_us * load.packets for load in loads) / packets if packets else 0.0
    offered = sum(load.utilisation * (1 + load.receive_drops / load.packets if load.packets else 1.0) for load in loads)
    drops = sum(load.receive_drops for load in loads)
    return _Strain(len(carriers), sum(load.utilisation for load in loads), offered, drops, packets + drops, slow)


def _arrived(state: Scaling, section: ScalingSection, carriers: int, now: float) -> Scaling:
    """The last change has taken effect: loads of before say nothing any more."""
    if state.settled or carriers != state.size:
        return state
    return replace(
        state,
        settled=True,
        high_since=None,
        low_since=None,
        not_before=max(state.not_before, now + section.cool_down_s),
    )


def _troubled(state: Scaling, section: ScalingSection, strain: _Strain) -> bool:
    """Whether packets suffer though all carriers are there that are wanted."""
    slow = section.latency_us > 0 and strain.latency_us > section.latency_us
    return strain.carriers >= state.size and (strain.drops > 0 or slow)


def _noted(state: Scaling, section: ScalingSection, strain: _Strain, least: int, now: float) -> Scaling:
    """Since when it is too much, since when too little."""
    troubled = _troubled(state, section, strain)
    high = troubled or strain.work / state.size > section.high
    saturated = strain.work / strain.carriers > section.high  # there may be more work than is seen
    low = not high and not saturated and state.size > least and strain.work / (state.size - 1) < section.low
    high_since = now if state.high_since is None else state.high_since
    low_since = now if state.low_since is None else state.low_since
    return replace(state, high_since=high_since if high else None, low_since=low_since if low else None)


def _decided(state: Scaling, section: ScalingSection, maximum: int, strain: _Strain, now: float) -> Scaling:
    if now < state.not_before:
        return state
    if state.high_since is not None and now - state.high_since >= section.up_s and state.size < maximum:
        return _more(state, section, maximum, strain, now)
    if state.low_since is not None and now - state.low_since >= section.down_s:
        why = f"utilisation {strain.work / (state.size - 1):.2f} with one less is below {section.low}"
        return _changed(state, section, now, state.size - 1, why)
    return state


def _more(state: Scaling, section: ScalingSection, maximum: int, strain: _Strain, now: float) -> Scaling:
    """One more; or so many that utilisation will be in the middle between low and high."""
    each, size = strain.work / state.size, state.size + 1
    if _troubled(state, section, strain):
        state = replace(state, floor=min(size, maximum), floor_packets=strain.packets)
    if each <= section.high:
        why = f"{strain.drops:.0f} packets/s dropped, {strain.latency_us:.0f} us within an instance"
        return _changed(state, section, now, size, why)
    target = ceil(strain.offered / ((section.low + section.high) / 2))
    why = f"utilisation {each:.2f} is above {section.high}"
    return _changed(state, section, now, min(max(size, target), maximum), why)


def _changed(state: Scaling, section: ScalingSection, now: float, size: int, why: str) -> Scaling:
    return replace(
        state,
        size=size,
        why=why,
        high_since=None,
        low_since=None,
        not_before=now + section.cool_down_s,
        settled=False,
    )
