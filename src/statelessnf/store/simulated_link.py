"""One connection to the simulated store: bytes in, commands out; replies and pushes in, bytes out, in order.

Commands wait in the link until the server is told to execute one; bytes wait until the client takes them. So a test
decides about every delay. Encoding follows the connection's protocol: RESP2 until HELLO 3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

Command = list[bytes]


class StoreFault(Exception):  # noqa: N818 - it becomes an error reply, as a value
    """An error reply: the text after the minus."""


class Status(str):
    """A simple string reply, such as OK."""


Reply = bytes | int | Status | StoreFault | None | Sequence["Reply"] | Mapping[str, "Reply"]


def encode_command(*words: bytes | str | int) -> bytes:
    """A command as clients send it: an array of bulk strings."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def encode_reply(reply: Reply, protocol: int) -> bytes:
    """A reply as the server sends it in RESP2 or RESP3."""
    match reply:
        case None:
            return b"_\r\n" if protocol == 3 else b"$-1\r\n"
        case StoreFault():
            return b"-%s\r\n" % str(reply).encode()
        case Status():
            return b"+%s\r\n" % reply.encode()
        case bytes():
            return b"$%d\r\n%s\r\n" % (len(reply), reply)
        case int():
            return b":%d\r\n" % reply
        case Mapping():
            head = b"%%%d\r\n" % len(reply) if protocol == 3 else b"*%d\r\n" % (2 * len(reply))
            pairs = (encode_reply(part, protocol) for name, value in reply.items() for part in (name.encode(), value))
            return head + b"".join(pairs)
        case Sequence():
            return b"*%d\r\n" % len(reply) + b"".join(encode_reply(part, protocol) for part in reply)


def encode_invalidation(key: bytes | None) -> bytes:
    """A push that `key` has changed; None: all keys."""
    return b">2\r\n$10\r\ninvalidate\r\n" + encode_reply(None if key is None else [key], 3)


class Link:
    """A client's end of a connection, and what the server knows of it. Made by `SimulatedServer.connect`."""

    def __init__(self, number: int, authenticated: bool) -> None:
        self.number = number
        self.authenticated = authenticated
        self.protocol = 2
        self.tracking = False  # OPTIN NOLOOP
        self.caching = False  # the next command's keys are tracked
        self.alive = True
        self.commands: deque[Command] = deque()
        self._incoming = bytearray()
        self._outgoing = bytearray()

    def send(self, data: bytes) -> None:
        """Bytes from the client. Raises ValueError for what is no array of bulk strings."""
        if not self.alive:
            return
        self._incoming += data
        while (command := self._next_command()) is not None:
            self.commands.append(command)

    def receive(self, limit: int | None = None) -> bytes:
        """What the server has sent and the client has not taken, at most `limit` bytes of it."""
        taken = bytes(self._outgoing[:limit])
        del self._outgoing[:limit]
        return taken

    def deliver(self, data: bytes) -> None:
        """Bytes from the server; lost when the connection is."""
        if self.alive:
            self._outgoing += data

    def cut(self, lose_commands: bool = True) -> None:
        """The connection breaks. Commands on their way are lost, or stay to be executed, as a dead connection's may."""
        self.alive = False
        self._outgoing.clear()
        if lose_commands:
            self.commands.clear()

    def _next_command(self) -> Command | None:
        """The next whole command, taken out of what has come."""
        count, at = self._header(0, b"*")
        command: Command = []
        for _ in range(count or 0):
            size, at = self._header(at, b"$")
            if size is None or len(self._incoming) < at + size + 2:
                return None
            command.append(bytes(self._incoming[at : at + size]))
            at += size + 2
        if count is None:
            return None
        del self._incoming[:at]
        return command

    def _header(self, at: int, kind: bytes) -> tuple[int | None, int]:
        """The number of a header line at `at`, and where it ends; no number while the line is not whole."""
        end = self._incoming.find(b"\r\n", at)
        if end < 0:
            return None, at
        if self._incoming[at : at + 1] != kind:
            raise ValueError(f"want {kind!r} at {bytes(self._incoming[at:end])!r}")
        return int(self._incoming[at + 1 : end]), end + 2
