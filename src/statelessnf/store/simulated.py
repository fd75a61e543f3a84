"""A small Valkey inside the process, for tests: several engines over one store, delays and losses chosen by the test.

It speaks RESP on any number of links and knows what the engine uses: GET, MGET, SET with NX or IFEQ, GET, PXAT; MSETEX
with NX, PXAT; DEL, PING, TIME, HELLO, AUTH, CLIENT SETNAME, TRACKING ON OPTIN NOLOOP, CACHING YES; SELECT, FLUSHALL;
FCALL of the functions that write flows (simulated_functions.py). Nothing happens by itself: `step` executes one
command, `advance` moves the clock. Replies and pushes are byte for byte those of Valkey 9.1.2
(tests/test_simulated_store.py runs the same scripts on both), which for tracking means:

- a read behind CACHING YES tracks its keys, absent ones, too, and so do the reads of a function that is called there; a
  write does not, nor does the command after the next;
- a change pushes the key once to each other client that tracks it and ends all tracking of it, the writer's own, too;
- a write that does not take place changes nothing; neither does deleting a key that is not there, or a SET of one that
  would be gone at once (an MSETEX of it does);
- expiry is a change by nobody: everybody who tracks the key is told.
"""

from __future__ import annotations

from collections.abc import Callable

from statelessnf.store.simulated_functions import MAKES, PUTS, SimulatedFunctions
from statelessnf.store.simulated_link import Command, Link, Reply, Status, StoreFault, encode_invalidation, encode_reply
from statelessnf.store.simulated_options import msetex_options, set_options

OVERHEAD = 70  # bytes of a record beside key and value (measured on Valkey)
OK = Status("OK")
WRONG_PASSWORD = "WRONGPASS invalid username-password pair or user is disabled."
NOT_AUTHENTICATED = "NOAUTH Authentication required."
NO_CACHING = (
    "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
)
OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'."
HELLO_FIRST = (
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> "
    "option can be used to authenticate the client and select the RESP protocol version at the same time"
)


class SimulatedServer:
    """The store. `memory_limit` in bytes (None: no limit); `password` of the default user; time in microseconds."""

    def __init__(
        self, now_us: int = 1_000_000_000_000_000, password: str = "", memory_limit: int | None = None
    ) -> None:
        self.now_us = now_us
        self.password = password
        self.memory_limit = memory_limit
        self.values: dict[bytes, bytes] = {}
        self.deadlines: dict[bytes, int] = {}  # ms, of keys that have one
        self.functions = SimulatedFunctions(self)
        self.trackers: dict[bytes, dict[int, Link]] = {}  # links by key, in the order of their reads
        self.links: list[Link] = []
        self._connections = 0
        self._pushes: list[tuple[Link, bytes | None]] = []  # of the command that is being executed
        self._commands: dict[bytes, tuple[Callable[[Link, Command], Reply], int]] = {
            b"GET": (self._get, 2),
            b"MGET": (self._mget, -2),
            b"SET": (self._set, -3),
            b"MSETEX": (self._msetex, -4),
            b"FCALL": (self._fcall, -3),
            b"DEL": (self._del, -2),
            b"PING": (lambda _link, _words: Status("PONG"), 1),
            b"TIME": (self._time, 1),
            b"HELLO": (self._hello, -1),
            b"AUTH": (self._auth, -2),
            b"CLIENT": (self._client, -2),
            b"SELECT": (lambda _link, _words: OK, 2),
            b"FLUSHALL": (self._flush, 1),
        }

    def connect(self) -> Link:
        """A new connection."""
        self._connections += 1
        link = Link(self._connections, authenticated=not self.password)
        self.links.append(link)
        return link

    def step(self, link: Link) -> bool:
        """Execute one command of `link`; False if none is waiting. The reply goes before pushes caused by it."""
        if not link.commands:
            return False
        words = link.commands.popleft()
        name = words[0].upper()
        caching = link.caching
        self._pushes.clear()
        try:
            reply = self._execute(link, name, words)
        except StoreFault as fault:
            reply = fault
        link.deliver(encode_reply(reply, link.protocol))
        if caching and name != b"CLIENT":
            link.caching = False
        for target, key in self._pushes:
            self._push(target, key)
        return True

    def advance(self, microseconds: int) -> None:
        """Move the clock; what has expired is gone, and pushed, at once."""
        self.now_us += microseconds
        for key in [key for key, deadline in self.deadlines.items() if deadline <= self.now_us // 1000]:
            self._remove(key)
            for target in self.trackers.pop(key, {}).values():
                self._push(target, key)

    def used_memory(self) -> int:
        """Bytes that the records take."""
        return sum(len(key) + len(value) + OVERHEAD for key, value in self.values.items())

    def read(self, link: Link, key: bytes) -> bytes | None:
        """The record; its key is tracked behind CACHING YES."""
        if link.caching:
            self.trackers.setdefault(key, {})[link.number] = link
        return self.values.get(key)

    def write(self, link: Link, key: bytes, value: bytes, expire_at: int | None) -> None:
        """Set the record, and tell of it; it is gone at once if `expire_at` (ms) has come."""
        self.values[key] = value
        self.deadlines.pop(key, None)
        if expire_at is not None:
            self.deadlines[key] = expire_at
        self.changed(key, link)
        if self._past(expire_at):
            self._remove(key)

    def delete(self, link: Link, key: bytes) -> bool:
        """Whether it was there."""
        if key not in self.values:
            return False
        self._remove(key)
        self.changed(key, link)
        return True

    def changed(self, key: bytes, writer: Link) -> None:
        """Tell the others that track the key; nobody tracks it any more."""
        for target in self.trackers.pop(key, {}).values():
            if target is not writer:
                self._pushes.append((target, key))

    def _execute(self, link: Link, name: bytes, words: Command) -> Reply:
        if name not in self._commands:
            shown = "".join(f"'{word.decode()}' " for word in words[1:])
            raise StoreFault(f"ERR unknown command '{words[0].decode()}', with args beginning with: {shown}")
        run, arity = self._commands[name]
        if len(words) < -arity or (arity > 0 and len(words) != arity):
            raise StoreFault(f"ERR wrong number of arguments for '{name.decode().lower()}' command")
        if not link.authenticated and name not in (b"HELLO", b"AUTH"):
            raise StoreFault(NOT_AUTHENTICATED)
        return run(link, words)

    def _push(self, link: Link, key: bytes | None) -> None:
        if link.tracking and link.protocol == 3:
            link.deliver(encode_invalidation(key))

    def _remove(self, key: bytes) -> None:
        del self.values[key]
        self.deadlines.pop(key, None)

    def _get(self, link: Link, words: Command) -> Reply:
        return self.read(link, words[1])

    def _mget(self, link: Link, words: Command) -> Reply:
        return [self.read(link, key) for key in words[1:]]

    def _set(self, link: Link, words: Command) -> Reply:
        self._refuse_if_full()
        key, value = words[1:3]
        absent, old, get, deadline = set_options(words[3:])
        before = self.values.get(key)
        if (absent and before is not None) or (old is not None and before != old):
            return before if get else None
        if self._past(deadline):
            self.delete(link, key)
        else:
            self.write(link, key, value, deadline)
        return before if get else OK

    def _msetex(self, link: Link, words: Command) -> Reply:
        self._refuse_if_full()
        pairs, absent, deadline = msetex_options(words[1:])
        if absent and any(key in self.values for key, _ in pairs):
            return 0
        for key, value in pairs:
            self.write(link, key, value, deadline)
        return 1

    def _fcall(self, link: Link, words: Command) -> Reply:
        if words[1] not in MAKES + PUTS:
            raise StoreFault("ERR Function not found")
        if words[1] in MAKES:
            self._refuse_if_full()
        return self.functions.call(link, words[1], words[2], words[3:])

    def _past(self, deadline: int | None) -> bool:
        return deadline is not None and deadline <= self.now_us // 1000

    def _refuse_if_full(self) -> None:
        if self.memory_limit is not None and self.used_memory() > self.memory_limit:
            raise StoreFault(OUT_OF_MEMORY)

    def _del(self, link: Link, words: Command) -> Reply:
        return sum(self.delete(link, key) for key in words[1:])

    def _flush(self, _link: Link, _words: Command) -> Reply:
        self.values.clear()
        self.deadlines.clear()
        self.trackers.clear()
        self.functions.clear()
        self._pushes += [(target, None) for target in self.links]
        return OK

    def _time(self, _link: Link, _words: Command) -> Reply:
        seconds, micros = divmod(self.now_us, 1_000_000)
        return [str(seconds).encode(), str(micros).encode()]

    def _hello(self, link: Link, words: Command) -> Reply:
        if len(words) > 1 and words[1] not in (b"2", b"3"):
            raise StoreFault("NOPROTO unsupported protocol version")
        if len(words) == 5:
            self._auth(link, [b"AUTH", *words[3:]])
        if not link.authenticated:
            raise StoreFault(HELLO_FIRST)
        link.protocol = int(words[1]) if len(words) > 1 else link.protocol
        text = {"server": b"valkey", "version": b"9.1.2"}
        where = {"mode": b"standalone", "role": b"master"}
        return {**text, "proto": link.protocol, "id": link.number, **where, "modules": []}

    def _auth(self, link: Link, words: Command) -> Reply:
        user = words[1] if len(words) == 3 else b"default"
        if user != b"default" or (self.password and words[-1] != self.password.encode()):
            raise StoreFault(WRONG_PASSWORD)
        link.authenticated = True
        return OK

    def _client(self, link: Link, words: Command) -> Reply:
        match [word.upper() for word in words[1:]]:
            case [b"SETNAME", name]:
                if not all(33 <= byte <= 126 for byte in name):
                    raise StoreFault("ERR Client names cannot contain spaces, newlines or special characters.")
            case [b"TRACKING", b"ON", b"OPTIN", b"NOLOOP"]:
                link.tracking = True
            case [b"CACHING", b"YES"]:
                if not link.tracking:
                    raise StoreFault(NO_CACHING)
                link.caching = True
            case _:
                raise StoreFault("ERR syntax error")
        return OK
