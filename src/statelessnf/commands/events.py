"""`snf events`: what happened, oldest first, and with --follow what happens from then on. JSON: a document a line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from statelessnf.api.client import Client, connected
from statelessnf.api.documents import EventsDocument
from statelessnf.commands.output import clean, clock
from statelessnf.orchestrator.face import EventDocument


def events(deployment: str, after: int, *, follow: bool, as_json: bool) -> None:
    """Runs the command; with `follow` until Ctrl-C or the orchestrator's end. Raises SnfError (see Client)."""
    with connected(deployment) as client, suppress(KeyboardInterrupt):
        for event in _followed(client, after) if follow else _told(client, after):
            print(event.model_dump_json() if as_json else shown(event), flush=True)


def shown(event: EventDocument) -> str:
    """One line for people."""
    kind, name, text = clean(event.kind), clean(event.instance), clean(event.text)
    return f"{clock(event.time)}  {event.number:>5}  {kind:<10} {name:<12} {text}"


def _told(client: Client, after: int) -> Iterator[EventDocument]:
    while (page := client.get("/events", EventsDocument, after=after)).events:
        yield from page.events
        after = page.last


def _followed(client: Client, after: int) -> Iterator[EventDocument]:
    return client.lines("/events", EventDocument, after=after, follow=True)
