"""How many instances, of how many pipes each, carry the traffic: a pure policy over what their pipes say of themselves.

Work is measured in pipes' worths: the utilisation of all pipes of all carriers together, whoever they are; divided by
the pipes of the level that is wanted (levels.py), it says what each will have once all of them are there. So an
instance that fails, and the load that others take over from it, are no reason to scale. More is wanted if that is above
`high`, if carriers drop packets for want of buffers, or if packets stay too long in them; less if it would still be
below `low` one level further down.

Flows may be spread unevenly over an instance's pipes. That its busiest ones are above `high` is a reason for more while
the average pipe is not below `low`: no number of pipes takes a single large flow apart.

A steady load leads to a finite number of changes: what is above `high` at one level, or above `low` with a pipe that is
above `high`, is not below `low` there; and where packets were dropped or took too long, there will be no level of that
worth again until the load is less by a fifth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from statelessnf.orchestrator.levels import Ladder, Level
from statelessnf.orchestrator.model import Health, Observed, Sighting
from statelessnf.orchestrator.section import ScalingSection

MEASURED = 1.5  # seconds for which one has been live until its load is that of a carrier (loads.py)
RELIEF = 0.8  # of the load under which there was more for drops or latency: below, it may go again


@dataclass(frozen=True)
class Scaling:
    """`size`: instances that are to carry, of so many `pipes` each; `why` it became so. The rest is remembered."""

    size: int
    pipes: int = 1
    why: str = ""
    high_since: float | None = None
    low_since: float | None = None
    not_before: float = 0.0  # cool-down: no change earlier
    settled: bool = False  # that many have carried since the last change
    floor: int = 0  # no worth below it, as long as nearly `floor_packets` a second come
    floor_packets: float = 0.0

    @property
    def level(self) -> Level:
        """As one value."""
        return Level(self.size, self.pipes)


@dataclass(frozen=True)
class _Strain:
    """What the carriers say together."""

    level: Level | None  # at which they are; None: they have different numbers of pipes
    worth: int  # pipes of all of them
    work: float  # sum of their utilisations
    busiest: float  # utilisation of the busiest pipe of the average carrier
    newest: float  # since when the last of them is live
    offered: float  # work with what was dropped
    drops: float  # packets a second
    packets: float  # that came a second, dropped or not
    latency_us: float


def decide(state: Scaling, section: ScalingSection, ladder: Ladder, observed: Observed) -> Scaling:
    """The next state. Nothing is decided while a carrier is not live, or none is known: then nothing is known."""
    level = ladder.within(state.level)
    if level != state.level:
        state = _changed(state, section, observed.now, level, _limits(ladder))
    carriers = _carriers(observed)
    if carriers is None or not section.enabled:
        return replace(state, high_since=None, low_since=None)
    strain = _strain(carriers)
    state = _arrived(state, section, strain, observed.now)
    if strain.packets < RELIEF * state.floor_packets:
        state = replace(state, floor=0, floor_packets=0.0)
    state = _noted(state, section, strain, ladder, observed.now)
    return _decided(state, section, strain, ladder, observed.now)


def _limits(ladder: Ladder) -> str:
    pipes = "" if ladder.most == 1 else f", of {ladder.least} to {ladder.most} pipes,"
    return f"between {ladder.minimum} and {ladder.maximum}{pipes} are wanted"


def _carriers(observed: Observed) -> list[Sighting] | None:
    """Those that get traffic; None if that is nobody, or one of them is not live."""
    steered = set(observed.steered or ())
    live = [one for one in observed.instances if one.name in steered and one.health is Health.live]
    return live if live and len(live) == len(steered) else None


def _strain(carriers: list[Sighting]) -> _Strain:
    loads, pipes = [one.load for one in carriers], {one.pipes for one in carriers}
    packets = sum(load.packets for load in loads)
    drops = sum(load.receive_drops for load in loads)
    return _Strain(
        Level(len(carriers), pipes.pop()) if len(pipes) == 1 else None,
        sum(one.pipes for one in carriers),
        sum(load.work for load in loads),
        sum(one.pipes * one.load.utilisation for one in carriers) / sum(one.pipes for one in carriers),
        max(one.since for one in carriers),
        sum(load.work * (1 + load.receive_drops / load.packets if load.packets else 1.0) for load in loads),
        drops,
        packets + drops,
        sum(load.latency_us * load.packets for load in loads) / packets if packets else 0.0,
    )


def _arrived(state: Scaling, section: ScalingSection, strain: _Strain, now: float) -> Scaling:
    """The last change has taken effect: loads of before say nothing any more."""
    if state.settled or strain.level != state.level:
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
    return strain.worth >= state.level.worth and (strain.drops > 0 or slow)


def _uneven(state: Scaling, section: ScalingSection, strain: _Strain) -> bool:
    """Whether some pipes have too much, all carriers are there, and more pipes may help."""
    each = strain.work / state.level.worth
    return strain.worth >= state.level.worth and strain.busiest > section.high and each > section.low


def _noted(state: Scaling, section: ScalingSection, strain: _Strain, ladder: Ladder, now: float) -> Scaling:
    """Since when it is too much, since when too little."""
    each = strain.work / state.level.worth
    high = each > section.high or _troubled(state, section, strain) or _uneven(state, section, strain)
    saturated = strain.work / strain.worth > section.high  # there may be more work than is seen
    less = ladder.down(state.level)
    enough = less is not None and less.worth >= state.floor and strain.work / less.worth < section.low
    low = enough and not high and not saturated and now - strain.newest >= MEASURED
    high_since = now if state.high_since is None else state.high_since
    low_since = now if state.low_since is None else state.low_since
    return replace(state, high_since=high_since if high else None, low_since=low_since if low else None)


def _decided(state: Scaling, section: ScalingSection, strain: _Strain, ladder: Ladder, now: float) -> Scaling:
    if now < state.not_before:
        return state
    if state.high_since is not None and now - state.high_since >= section.up_s:
        return _more(state, section, strain, ladder, now)
    less = ladder.down(state.level)
    if less is not None and state.low_since is not None and now - state.low_since >= section.down_s:
        why = f"utilisation {strain.work / less.worth:.2f} with {_step(state.level, less)} less is below {section.low}"
        return _changed(state, section, now, less, why)
    return state


def _step(level: Level, less: Level) -> str:
    return "one" if less.pipes == level.pipes else "a pipe"


def _more(state: Scaling, section: ScalingSection, strain: _Strain, ladder: Ladder, now: float) -> Scaling:
    """One level up; or so many that utilisation will be in the middle between low and high."""
    each = strain.work / state.level.worth
    target = strain.offered / ((section.low + section.high) / 2) if each > section.high else 0.0
    more = ladder.up(state.level, target)
    if more == state.level:
        return state
    if _troubled(state, section, strain):
        state = replace(state, floor=ladder.up(state.level, 0.0).worth, floor_packets=strain.packets)
    return _changed(state, section, now, more, _reason(state, section, strain))


def _reason(state: Scaling, section: ScalingSection, strain: _Strain) -> str:
    each = strain.work / state.level.worth
    if each > section.high:
        return f"utilisation {each:.2f} is above {section.high}"
    if _troubled(state, section, strain):
        return f"{strain.drops:.0f} packets/s dropped, {strain.latency_us:.0f} us within an instance"
    return f"utilisation {strain.busiest:.2f} of the busiest pipe is above {section.high}"


def _changed(state: Scaling, section: ScalingSection, now: float, level: Level, why: str) -> Scaling:
    return replace(
        state,
        size=level.size,
        pipes=level.pipes,
        why=why,
        high_since=None,
        low_since=None,
        not_before=now + section.cool_down_s,
        settled=False,
    )
