"""Plays a story of `snf demo`: live view, summary or JSON document, and picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from statelessnf.demo import asymmetry, failover, failover_summary, pictures, scaling
from statelessnf.demo.picture_file import PictureFile
from statelessnf.demo.stage import Request
from statelessnf.demo.view import open_view
from statelessnf.lab.lifetime import check_root

Story = Literal["failover", "scaling", "asymmetry"]


class _Story(NamedTuple):
    """How it is played, what its result says, and its picture."""

    play: Callable[..., Any]
    summary: Callable[[Any], list[str]]
    draw: Callable[[Any], bytes]


STORIES: dict[Story, _Story] = {
    "failover": _Story(failover.play, failover_summary.summary, pictures.failover),
    "scaling": _Story(scaling.play, scaling.Result.summary, pictures.scaled),
    "asymmetry": _Story(asymmetry.play, asymmetry.Result.summary, pictures.asymmetric),
}


def run_demo(name: Story, request: Request) -> int:
    """Returns 0 if what was to be shown was shown, else 1; the picture goes to `request.output` (PNG).

    Raises LabError where root, nginx or the switch is missing, and where something does not start.
    """
    check_root()  # before anything is compiled
    story = STORIES[name]
    with PictureFile(request.output) as picture:
        with open_view(request.json) as view:
            result = story.play(view, request)
        picture.write(story.draw(result))
    if request.json:
        print(json.dumps({"story": name, **result.document()}))
    else:
        print("\n".join(["", *story.summary(result), f"picture     {request.output}"]))
    return 0 if result.shows() else 1
