"""What the orchestrator keeps in the store: who leads, what is deployed, which instances it has started, what happened.

Nothing else of it has to survive. Whoever holds the lease leads; every change is refused, in the store itself, to
anybody who does not hold it, so that an orchestrator that was cut off for a while cannot undo what its successor did.
All methods block, are called by one thread, and raise StoreError; changes raise NotLeader, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from statelessnf.errors import NotLeader, StoreReplyError
from statelessnf.orchestrator.face import EventDocument
from statelessnf.store.client import Reply, StoreClient, Word
from statelessnf.store.url import StoreUrl

LEASE_MS = 3000
MOST_EVENTS = 10_000  # kept; older ones go

# KEYS[1]: the lease; ARGV[1]: who asks; then a command, which only the holder of the lease may have done.
_GUARDED = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('NOTLEADER') end
return redis.call(unpack(ARGV, 2))
"""
Kind = TypeVar("Kind", bound=BaseModel)


class Kept(BaseModel):
    """The deployment: its file's text, and what the operator has said since."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    revision: int
    text: str
    path: str  # of the file, for messages
    size: int  # instances that carry traffic
    pipes: int = 0  # of each of them; 0: as the file says
    fixed: bool = False  # the operator has set the size: scaling does not decide
    beats: tuple[str, ...] = ()  # where instances send their beats
    members: tuple[str, ...] = ()  # names of those that were given traffic last


class Entry(BaseModel):
    """An instance that was started."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    host: str
    slot: int
    revision: int
    token: str  # 32 hex digits, in its beats
    handle: str = ""  # the driver's; "": it was about to be started
    cores: tuple[int, ...] = ()  # of its own; none: any
    memory_mb: int = 0  # of its own; 0: no limit
    drained: bool = False
    pipes: int = 0  # 0: it was started by a release that did not write them down


class State:
    """Of one deployment. `me`: who asks, a name that no other orchestrator ever has."""

    def __init__(self, url: StoreUrl, deployment: str, me: str) -> None:
        self._client = StoreClient(url)
        self.store = _address(url)  # orchestrators with the same one share the lease
        self._me = me
        head = f"statelessnf:{{{deployment}}}:orchestrator"
        self._lease, self._deployment = f"{head}:lease", f"{head}:deployment"
        self._instances, self._events = f"{head}:instances", f"{head}:events"

    def close(self) -> None:
        """A later call connects anew."""
        self._client.close()

    def claim(self) -> bool:
        """Takes the lease, or makes it last longer, for LEASE_MS from now on. False: another one has it."""
        renewed = self._client.call("SET", self._lease, self._me, "IFEQ", self._me, "PX", LEASE_MS)
        return renewed is not None or self._client.call("SET", self._lease, self._me, "NX", "PX", LEASE_MS) is not None

    def leader(self) -> str:
        """Who has the lease; "": nobody."""
        holder = self._client.call("GET", self._lease)
        return holder.decode(errors="replace") if isinstance(holder, bytes) else ""

    def resign(self) -> None:
        """Gives the lease back."""
        self._guarded("DEL", self._lease)

    def deployment(self) -> Kept | None:
        """None: nothing is deployed."""
        value = self._client.call("GET", self._deployment)
        return _read(Kept, value) if isinstance(value, bytes) else None

    def keep(self, kept: Kept) -> None:
        """Replaces what stands there."""
        self._guarded("SET", self._deployment, kept.model_dump_json())

    def instances(self) -> list[Entry]:
        """By name."""
        found = self._client.call("HVALS", self._instances)
        entries = (
            [_read(Entry, value) for value in found if isinstance(value, bytes)] if isinstance(found, list) else []
        )
        return sorted(entries, key=lambda entry: entry.name)

    def put(self, entry: Entry) -> None:
        """Adds or replaces the instance of that name."""
        self._guarded("HSET", self._instances, entry.name, entry.model_dump_json())

    def remove(self, name: str) -> None:
        """The instance is forgotten."""
        self._guarded("HDEL", self._instances, name)

    def append(self, events: Sequence[EventDocument]) -> None:
        """Writes events down, behind those that stand there."""
        self._guarded("RPUSH", self._events, *(event.model_dump_json() for event in events))
        self._guarded("LTRIM", self._events, -MOST_EVENTS, -1)

    def events(self) -> list[EventDocument]:
        """All that are kept, oldest first."""
        found = self._client.call("LRANGE", self._events, 0, -1)
        return (
            [_read(EventDocument, value) for value in found if isinstance(value, bytes)]
            if isinstance(found, list)
            else []
        )

    def erase(self) -> None:
        """Forgets the deployment, and gives the lease back."""
        self._guarded("DEL", self._deployment, self._instances, self._events, self._lease)

    def _guarded(self, *command: Word) -> Reply:
        try:
            return self._client.call("EVAL", _GUARDED, 1, self._lease, self._me, *command)
        except StoreReplyError as error:
            if "NOTLEADER" not in error.what:
                raise
            leader = self.leader()
            what = f"another orchestrator leads ({leader})" if leader else "this orchestrator's lease has run out"
            raise NotLeader(what, "orchestrator", "ask that one, or try again in some seconds") from None


def _address(url: StoreUrl) -> str:
    """As it can be written into a deployment file, but without user and password."""
    database = f"?db={url.database}" if url.kind == "unix" else f"/{url.database}"
    return url.shown() + (database if url.database else "")


def _read(kind: type[Kind], value: bytes) -> Kind:
    try:
        return kind.model_validate_json(value)
    except ValidationError as error:
        what = f"the orchestrator's state in the store cannot be read ({error.errors()[0]['msg']})"
        raise StoreReplyError(what, kind.__name__, "run the release that wrote it") from None
