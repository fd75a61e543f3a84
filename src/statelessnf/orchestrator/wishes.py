"""What the operator may ask of a deployment that runs: a size, no traffic for an instance, another file, its end."""

from __future__ import annotations

import asyncio

from statelessnf.errors import Refused
from statelessnf.orchestrator.controller import Controller
from statelessnf.orchestrator.scaling import Scaling
from statelessnf.orchestrator.section import OrchestratorSection

DOWN_SECONDS = 20.0  # in which all instances have to end
SWITCH_SECONDS = 3.0  # in which the switch has to take the traffic away from them; then they end all the same
PAUSE = 0.02


class Wishes:
    """Carried out by a controller, in its event loop."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def resize(self, size: int | None) -> None:
        """This many instances; None: scaling decides from now on. Refused outside minimum and maximum."""
        controller, section = self._controller, self._controller.section
        if size is not None and not section.minimum <= size <= section.maximum:
            what = f"{size} instances are not between minimum ({section.minimum}) and maximum ({section.maximum})"
            raise Refused(what, "size", "choose another number, or change the deployment file and reload it")
        controller.keep(size=controller.kept.size if size is None else size, fixed=size is not None)
        controller.scaling = Scaling(controller.kept.size, controller.kept.pipes)
        controller.events.tell("scale", "scaling decides the size" if size is None else f"the operator wants {size}")
        controller.turn()

    def drain(self, name: str, drained: bool) -> None:
        """No traffic for that instance, or again."""
        controller = self._controller
        known = controller.sightings.known[name]
        known.entry = known.entry.model_copy(update={"drained": drained})
        controller.journal.put(known.entry)
        controller.events.tell("drain", "no traffic any more" if drained else "may carry traffic again", name)
        controller.turn()

    def redeploy(self, section: OrchestratorSection, text: str, pipes: int, *, replace: bool) -> int:
        """Another deployment file is in force. Returns the revision."""
        controller = self._controller
        controller.follow(section, pipes)
        size = min(max(controller.kept.size, section.minimum), section.maximum)
        controller.keep(text=text, revision=controller.kept.revision + replace, size=size)
        controller.events.tell("reload", f"another deployment file is in force: revision {controller.kept.revision}")
        controller.turn()
        return controller.kept.revision

    async def down(self) -> None:
        """Stops all instances, and takes the steering away. Refused where an instance does not end.

        A switch that says nothing is not waited for: it has what it has. Raises SteeringError then, in the end.
        """
        controller = self._controller
        controller.keep(size=0, fixed=True)
        controller.events.tell("down", "the operator takes the deployment down")
        controller.turn()
        loop = asyncio.get_running_loop()
        patience = loop.time() + SWITCH_SECONDS
        try:
            async with asyncio.timeout(DOWN_SECONDS):
                while not (controller.settled and not list(controller.sightings.known)):
                    await asyncio.sleep(PAUSE)
                    if controller.steersman.steered != () and loop.time() > patience:
                        controller.steersman.give_up()
        except TimeoutError:
            names = ", ".join(known.entry.name for known in controller.sightings.known)
            raise Refused(f"some instances do not end: {names}", "", "see snf status; it goes on trying") from None
        await controller.steersman.steering.clear()
