"""One connection from an OpenFlow switch: messages in and out, requests and their answers, signs of life.

What the other end sends is hostile until shown otherwise: no more than one message and an answer of MOST_BYTES is ever
held, it is read no faster than it takes our answers, and whatever no switch does ends the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from statelessnf.errors import SteeringError
from statelessnf.orchestrator.steering import openflow_messages as messages
from statelessnf.orchestrator.steering import openflow_reading as reading
from statelessnf.orchestrator.steering.openflow_reading import HEADER, VERSION, Kind, Message, Misbehaviour, Port

ANSWER_SECONDS = 2.0
ECHO_SECONDS = 1.0
_SILENT = 3  # of them without a message
MOST_BYTES = 4 << 20  # of an answer in parts
MOST_UNASKED = 1000  # messages a second that nobody has asked for
_T = TypeVar("_T")
_TURN = 64  # messages after which the event loop does something else


class Channel:
    """Made for each connection; `read` runs as long as it lasts. `news`: a port came or changed, or (False) went."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, news: Callable[[bool, Port], None]
    ) -> None:
        self._reader, self._writer, self._news = reader, writer, news
        self._last = self._unasked = self._read = 0
        self._waiting: dict[int, asyncio.Future[Message]] = {}  # by transaction
        self._parts: dict[int, bytearray] = {}
        self._errors: dict[int, tuple[int, int]] | None = None  # of the transaction under way
        self._open = True
        self._spoilt: Misbehaviour | None = None  # found out elsewhere than in `read`

    async def greet(self) -> int:
        """Hellos, features, no messages that nobody wants. Returns the identifier of the datapath.

        Raises Misbehaviour, ConnectionError. Comes before `read`.
        """
        self._writer.write(messages.hello())
        hello = await self._next()
        if hello.kind != Kind.hello or hello.version < VERSION:
            self._writer.write(messages.version_refused())
            raise Misbehaviour("no OpenFlow 1.3")
        self._writer.write(messages.features_request() + messages.port_news_only())
        while (message := await self._next()).kind != Kind.features_reply:
            await self._take(message)
        return reading.datapath(message.body)

    async def read(self) -> None:
        """Until the connection ends: raises Misbehaviour, or OSError. Requests that wait fail with SteeringError."""
        try:
            while True:
                await self._take(await self._next())
        except OSError:
            raise (self._spoilt or ConnectionResetError("the connection is lost")) from None
        finally:
            self._open = False
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(SteeringError("the connection has ended", self.name))

    async def live(self) -> None:
        """Asks for signs of life. Raises Misbehaviour when there has been none for some of them.

        By count and not by the clock: an event loop that was late finds the answers waiting.
        """
        unanswered = 0
        while unanswered < _SILENT:
            read, self._unasked = self._read, 0
            self._writer.write(self._numbered(messages.echo_request())[1])
            await asyncio.sleep(ECHO_SECONDS)
            unanswered = unanswered + 1 if self._read == read else 0
        raise Misbehaviour("silent")

    async def change(self, changes: Sequence[bytes]) -> None:
        """Carries them out; returns when the switch has confirmed that. Raises SteeringError: what it refused."""
        self._errors = {}
        try:
            numbered = [self._numbered(message) for message in changes]
            await self._ask(messages.barrier_request(), b"".join(message for _, message in numbered))
            errors = [self._errors[number] for number, _ in numbered if number in self._errors]
        finally:
            self._errors = None
        if errors:
            raise self._refusal(*errors[0])

    async def question(self, request: bytes, read: Callable[[bytes], _T]) -> _T:
        """All parts of the answer to a request for a list, as `read` makes it. Raises SteeringError."""
        body = (await self._ask(request)).body
        try:
            return read(body)
        except Misbehaviour as error:
            self._spoilt = error
            self.abort()
            raise SteeringError(f"it cannot be understood: {error}", self.name) from error

    @property
    def name(self) -> str:
        """For messages."""
        host, port, *_ = self._writer.get_extra_info("peername") or ("?", 0)
        return f"switch at {host}:{port}"

    def abort(self) -> None:
        """Ends the connection at once."""
        self._writer.transport.abort()

    async def _ask(self, request: bytes, before: bytes = b"") -> Message:
        """Sends both, and waits for the answer to `request`."""
        if not self._open:
            raise SteeringError("the connection has ended", self.name)
        number, message = self._numbered(request)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._writer.write(before + message)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._waiting[number]
        except TimeoutError:
            self.abort()  # what it has done is unknown
            raise SteeringError(f"it has not answered for {ANSWER_SECONDS:g} s", self.name) from None
        finally:
            del self._waiting[number]
            self._parts.pop(number, None)

    def _numbered(self, message: bytes) -> tuple[int, bytes]:
        self._last = self._last % 0xFFFF_FFFF + 1
        return self._last, message[:4] + self._last.to_bytes(4, "big") + message[8:]

    async def _next(self) -> Message:
        try:
            version, kind, length, transaction = HEADER.unpack(await self._reader.readexactly(HEADER.size))
            if length < HEADER.size:
                raise Misbehaviour("wrong length")
            body = await self._reader.readexactly(length - HEADER.size)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("closed by the switch") from error
        self._read += 1
        if self._read % _TURN == 0:
            await asyncio.sleep(0)  # what has been received can be read without waiting, all of it
        if version != VERSION and kind not in (Kind.hello, Kind.error):
            raise Misbehaviour("another version")
        return Message(version, kind, transaction, body)

    async def _take(self, message: Message) -> None:
        if message.kind == Kind.echo_request:
            self._unwanted()
            reply = messages.echo_reply(message.body)
            self._writer.write(reply[:4] + message.transaction.to_bytes(4, "big") + reply[8:])
            await self._writer.drain()
        elif message.kind == Kind.port_status:
            self._news(*reading.port_status(message.body))
        elif message.kind == Kind.multipart_reply:
            self._part(message)
        elif message.kind == Kind.error:
            self._refused(message)
        elif message.kind == Kind.barrier_reply:
            self._answered(message)
        elif message.kind != Kind.echo_reply:
            self._unwanted()

    def _part(self, message: Message) -> None:
        _, more, part = reading.multipart(message.body)
        if message.transaction not in self._waiting:
            return self._unwanted()
        parts = self._parts.setdefault(message.transaction, bytearray())
        parts += part
        if len(parts) > MOST_BYTES:
            raise Misbehaviour("answer too long")
        if not more:
            self._answered(Message(message.version, message.kind, message.transaction, bytes(parts)))
        return None

    def _refused(self, message: Message) -> None:
        kind, code = reading.error(message.body)
        asked = self._waiting.get(message.transaction)
        if asked is not None and not asked.done():
            return asked.set_exception(self._refusal(kind, code))
        if self._errors is None or len(self._errors) >= MOST_UNASKED:
            return self._unwanted()
        self._errors.setdefault(message.transaction, (kind, code))
        return None

    def _refusal(self, kind: int, code: int) -> SteeringError:
        return SteeringError(f"the switch refuses: {messages.error_name(kind, code)}", self.name)

    def _answered(self, message: Message) -> None:
        future = self._waiting.get(message.transaction)
        if future is None:
            self._unwanted()
        elif not future.done():
            future.set_result(message)

    def _unwanted(self) -> None:
        self._unasked += 1
        if self._unasked > MOST_UNASKED:
            raise Misbehaviour("flood")
