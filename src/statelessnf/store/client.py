"""The control plane's own client: one command, one reply, or many at a time, blocking, with a time limit.

The `valkey` package would do as well, but importing it takes longer than starting the store (it brings asyncio, TLS and
every command's wrapper), and an instance has half a second from its start to its first packet. RESP2 is all that is
needed here. After any failure the connection is given up; the next call makes a new one.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import BinaryIO

from statelessnf.errors import StoreError, StoreRefused, StoreReplyError, StoreUnavailable
from statelessnf.store.url import StoreUrl

PATIENCE = 3.0  # seconds to connect, and for each answer
LONGEST_LINE = 1 << 16  # bytes

Word = str | bytes | int
Reply = bytes | int | list["Reply"] | None


class StoreClient:
    """A connection to `url` (unix or valkey), made with the first call and used by one thread at a time."""

    def __init__(self, url: StoreUrl) -> None:
        self._url = url
        self._socket: socket.socket | None = None
        self._replies: BinaryIO | None = None

    def __enter__(self) -> StoreClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """May be called again; a later call connects anew."""
        for part in (self._replies, self._socket):
            if part is not None:
                part.close()
        self._replies = self._socket = None

    def call(self, *words: Word) -> Reply:
        """The reply to one command. Raises StoreUnavailable, StoreRefused, StoreReplyError."""
        [outcome] = self.batch([words])
        if isinstance(outcome, StoreError):
            self.close()
            raise outcome
        return outcome

    def batch(self, commands: Sequence[Sequence[Word]]) -> list[Reply | StoreError]:
        """The replies to `commands`, which are sent together; one that the store refused has its error there.

        Raises as `call` where the connection fails: then any of them may have been done.
        """
        try:
            if self._socket is None:
                self._connect()
            return self._exchange(commands)
        except OSError as error:
            self.close()
            raise self._unreachable(error.strerror or str(error)) from None
        except StoreError:
            self.close()
            raise

    def text(self, *words: Word) -> str:
        """The reply to a command that answers with a string. Raises as `call`."""
        reply = self.call(*words)
        if not isinstance(reply, bytes):
            raise self._no_valkey(f"{reply!r} to {words[0]!r}")
        return reply.decode(errors="replace")

    def now(self) -> int:
        """The store's clock, ms. Raises as `call`."""
        match self.call("TIME"):
            case [bytes() as seconds, bytes() as micros] if seconds.isdigit() and micros.isdigit():
                return int(seconds) * 1000 + int(micros) // 1000
            case reply:
                raise self._no_valkey(f"{reply!r} to TIME")

    def info(self, section: str) -> dict[str, str]:
        """`INFO section`, by name. Raises as `call`."""
        lines = (line.partition(":") for line in self.text("INFO", section).splitlines())
        return {name: value for name, colon, value in lines if colon}

    def pairs(self, *words: Word) -> dict[str, str]:
        """The reply to a command that answers with names and values in turn. Raises as `call`."""
        reply = self.call(*words)
        if not isinstance(reply, list):
            raise self._no_valkey(f"{reply!r} to {words[0]!r}")
        texts = [part.decode(errors="replace") if isinstance(part, bytes) else str(part) for part in reply]
        return dict(zip(texts[::2], texts[1::2], strict=False))

    def _connect(self) -> None:
        if self._url.kind == "unix":
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(PATIENCE)
            self._socket.connect(self._url.path)
        else:
            self._socket = socket.create_connection((self._url.host, self._url.port), PATIENCE)
        self._replies = self._socket.makefile("rb")
        if self._url.password:
            self._introduce("AUTH", self._url.user or "default", self._url.password)
        if self._url.database:
            self._introduce("SELECT", self._url.database)

    def _introduce(self, *words: Word) -> None:
        for outcome in self._exchange([words]):
            if isinstance(outcome, StoreError):
                raise outcome

    def _exchange(self, commands: Sequence[Sequence[Word]]) -> list[Reply | StoreError]:
        assert self._socket is not None  # `batch` has connected
        self._socket.sendall(b"".join(map(_encoded, commands)))
        return [self._outcome() for _ in commands]

    def _outcome(self) -> Reply | StoreError:
        line = self._read_line()
        return refusal(line[1:].decode(errors="replace"), self._url) if line[:1] == b"-" else self._value(line)

    def _reply(self) -> Reply:
        """A reply within another one: an error there (as in EXEC's) is raised."""
        outcome = self._outcome()
        if isinstance(outcome, StoreError):
            raise outcome
        return outcome

    def _value(self, line: bytes) -> Reply:
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind not in (b":", b"$", b"*") or not rest.removeprefix(b"-").isdigit():
            raise self._no_valkey(repr(line[:40]))
        number = int(rest)
        if kind == b":":
            return number
        if number < 0:
            return None
        return self._read(number + 2)[:-2] if kind == b"$" else [self._reply() for _ in range(number)]

    def _read_line(self) -> bytes:
        assert self._replies is not None
        line = self._replies.readline(LONGEST_LINE)
        if not line.endswith(b"\r\n"):
            raise self._unreachable("it closed the connection")
        return line[:-2]

    def _read(self, size: int) -> bytes:
        assert self._replies is not None
        data = self._replies.read(size)
        if len(data) < size:
            raise self._unreachable("it closed the connection")
        return data

    def _unreachable(self, why: str) -> StoreUnavailable:
        what = f"the store cannot be reached ({why})"
        return StoreUnavailable(what, self._url.shown(), "start it, or correct store.url")

    def _no_valkey(self, what: str) -> StoreReplyError:
        do = "check that it is a Valkey server, and healthy"
        return StoreReplyError(f"the store answered: {what}", self._url.shown(), do)


class FunctionMissing(StoreReplyError):  # noqa: N818 - the name states the fact
    """FCALL of a function that no library in the store has."""


def _encoded(words: Sequence[Word]) -> bytes:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)])


def refusal(text: str, url: StoreUrl) -> StoreError:
    """An error reply as one of ours: what happened, where, what to do. Its first word is its code."""
    where, code = url.shown(), text.partition(" ")[0]
    if code in ("NOAUTH", "WRONGPASS"):
        return StoreRefused("the store refused the user or the password", where, "correct them in store.url")
    if code == "NOPERM":
        do = "allow it by ACL: +@all without +@dangerous, and +config|get"
        return StoreRefused(f"the store's user may not do this ({text.rstrip('.')})", where, do)
    if code == "LOADING":
        return StoreUnavailable("the store is still loading its data", where, "try again in a moment")
    if code == "OOM":
        return StoreRefused("the store's memory is full", where, "raise its maxmemory, or end old deployments")
    what = f"the store answered: {text.rstrip('.')}"
    if text == "ERR Function not found":
        return FunctionMissing(what, where, "start this release's instances again: they load it")
    return StoreReplyError(what, where, "check that it is a Valkey server, and healthy")
