"""A simulated world for `plan`: hosts, instances and a switch that do what they are told, or fail to.

Whatever is done is checked first against the rules that hold for every plan (orchestra_rules.py). `draws` decides what
goes wrong: each event takes the next number, 0 is fortune; when there are none left, all goes well, but what is
suspected stays silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from orchestra_rules import check
from statelessnf.orchestrator.model import (
    Action,
    Desired,
    Forget,
    Health,
    Host,
    Kill,
    Observed,
    Sighting,
    Start,
    Steer,
    Stop,
)
from statelessnf.orchestrator.plan import due, plan
from statelessnf.orchestrator.roster import NEVER

BACK_OFF = 0.5  # seconds, after a start that failed
MUTE = 3  # the draw with which an instance starts and is never heard


@dataclass
class World:
    """`log`: the actions of each round."""

    desired: Desired
    hosts: dict[str, Host]
    instances: dict[str, Sighting]
    steered: tuple[str, ...] | None = ()
    draws: list[int] = field(default_factory=list)
    now: float = 1000.0
    log: list[tuple[Action, ...]] = field(default_factory=list)
    mute: set[str] = field(default_factory=set)
    started: int = 0

    def observed(self) -> Observed:
        """What the plan may know."""
        hosts = tuple(self.hosts[name] for name in sorted(self.hosts))
        return Observed(self.now, hosts, tuple(self.instances.values()), self.steered)

    def round(self, *, patient: bool = True) -> tuple[Action, ...]:
        """Plan, check, apply, and let the world go on; `patient`: to when the plan is due, if there is nothing to do.

        Takes a number of `draws` in any case, so that they end.
        """
        self.drawn()
        observed = self.observed()
        actions = plan(self.desired, observed)
        check(self.desired, observed, actions)
        self.log.append(actions)
        for action in actions:
            self._apply(action)
        later = due(self.desired, self.observed())
        self.now = later if patient and not actions and later < NEVER else self.now + 0.1
        self._go_on()
        return actions

    def settle(self) -> int:
        """Rounds until there is nothing more to be done, which are bounded; fails if there are more."""
        slots = sum(host.slots for host in self.hosts.values())
        most = 60 + 3 * len(self.draws) + 12 * (slots + len(self.instances) + self.desired.size + self.desired.spares)
        for count in range(most):
            restless = bool(self.draws) or due(self.desired, self.observed()) < NEVER or self.under_way()
            if not self.round() and not restless:
                return count
        raise AssertionError(f"no end after {most} rounds: {self.log[-8:]}, {self.observed()}")

    def under_way(self) -> bool:
        """Whether something will change by itself."""
        present = [one for one in self.instances.values() if one.health is not Health.ended]
        return any(one.health is Health.starting or one.stopping for one in present)

    def become(self, name: str, health: Health) -> None:
        """The health of an instance changes."""
        self.instances[name] = replace(self.instances[name], health=health, since=self.now)

    def drawn(self) -> int:
        return self.draws.pop() if self.draws else 0

    def _apply(self, action: Action) -> None:
        if isinstance(action, Forget):
            del self.instances[action.name]
        elif isinstance(action, Start):
            self._start(action)
        elif self.drawn() == 1:
            return  # the switch refuses, the driver fails: nothing has happened
        elif isinstance(action, Steer):
            self.steered = action.members
        elif isinstance(action, Stop | Kill):
            self.instances[action.name] = replace(self.instances[action.name], stopping=True)

    def _start(self, start: Start) -> None:
        draw = self.drawn()
        if draw == 1:
            host = start.place.host
            self.hosts[host] = replace(self.hosts[host], not_before=self.now + BACK_OFF)
            return
        self.started += 1
        name = f"new-{self.started}"
        self.instances[name] = Sighting(name, start.place, start.revision, Health.starting, self.now, pipes=start.pipes)
        if draw == MUTE:
            self.mute.add(name)

    def _go_on(self) -> None:
        for name, one in list(self.instances.items()):
            if one.health is Health.ended:
                continue
            if one.stopping:
                self.become(name, Health.ended)
            elif one.health is Health.starting and name not in self.mute:
                self.become(name, Health.live)
            else:
                self._befall(name, one, self.drawn())

    def _befall(self, name: str, one: Sighting, draw: int) -> None:
        """Bad luck: 1 ends it, 2 silences it; if it is silent, it is heard again."""
        if draw == 1:
            self.become(name, Health.ended)
        elif draw == 2 and one.health is Health.live:
            self.become(name, Health.suspected)
            self.instances[name] = replace(self.instances[name], faults=one.faults + 1)
        elif draw == 2 and one.health is Health.suspected:
            self.become(name, Health.live)
