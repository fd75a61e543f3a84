"""A switch that only says what a test wants: OpenFlow 1.3 by hand, so that it can also say what no switch says."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 1, 2, 3, 5, 6
PACKET_IN, PORT_STATUS, FLOW_MOD, GROUP_MOD, MULTIPART_REQUEST, MULTIPART_REPLY = 10, 12, 14, 15, 18, 19
BARRIER_REQUEST, BARRIER_REPLY = 20, 21
FLOWS, COUNTS, GROUPS, PORTS = 1, 4, 7, 13
ADDED, DELETED, MODIFIED = 0, 1, 2
GROUP_REFUSED = (6, 3)  # OFPET_GROUP_MOD_FAILED, OFPGMFC_OUT_OF_GROUPS


def message(kind: int, body: bytes = b"", transaction: int = 0, version: int = 4) -> bytes:
    return struct.pack("!BBHI", version, kind, 8 + len(body), transaction) + body


def port(name: str, number: int, up: bool = True) -> bytes:
    return struct.pack("!I4x6s2x16sII24x", number, bytes(6), name.encode(), 0, 4 if up else 1)


def port_status(reason: int, about: bytes) -> bytes:
    return message(PORT_STATUS, struct.pack("!B7x", reason) + about)


def features(datapath: int) -> bytes:
    return struct.pack("!QIBB2xII", datapath, 0, 254, 0, 0, 0)


class StandIn:
    """Answers as a switch with these ports would; `lists` are its other answers to requests for lists, by kind."""

    def __init__(self, names: Sequence[str], datapath: int = 1) -> None:
        self._datapath = datapath
        ports = b"".join(port(name, number) for number, name in enumerate(names, 1))
        self.lists = {PORTS: ports, GROUPS: b"", FLOWS: b"", COUNTS: b""}
        self.got: list[int] = []  # kinds of the messages that came
        self.refusing: tuple[int, int] | None = None  # every change of a group, with this type and code
        self.mute = False  # to barriers
        self.repeated = 0  # so many times before the end of a list

    async def connect(self, address: tuple[str, int]) -> Self:
        self.reader, self.writer = await asyncio.open_connection(*address)
        self.writer.write(message(HELLO))
        return self

    async def answer(self) -> None:
        """Until the other end closes."""
        try:
            while True:
                _, kind, length, transaction = struct.unpack("!BBHI", await self.reader.readexactly(8))
                body = await self.reader.readexactly(length - 8)
                self.got.append(kind)
                self.writer.write(self._reply(kind, transaction, body))
        except (asyncio.IncompleteReadError, OSError):
            return

    def _reply(self, kind: int, transaction: int, body: bytes) -> bytes:
        if kind == FEATURES_REQUEST:
            return message(FEATURES_REPLY, features(self._datapath), transaction)
        if kind == MULTIPART_REQUEST:
            (what,) = struct.unpack_from("!H", body)
            parts = [struct.pack("!HH4x", what, more) + self.lists[what] for more in [1] * self.repeated + [0]]
            return b"".join(message(MULTIPART_REPLY, part, transaction) for part in parts)
        if kind == BARRIER_REQUEST and not self.mute:
            return message(BARRIER_REPLY, b"", transaction)
        if kind == GROUP_MOD and self.refusing is not None:
            return message(ERROR, struct.pack("!HH", *self.refusing), transaction)
        return message(ECHO_REPLY, body, transaction) if kind == ECHO_REQUEST else b""


@asynccontextmanager
async def standing_in(address: tuple[str, int], switch: StandIn) -> AsyncIterator[asyncio.Task[None]]:
    """Connected for the length of the block; the task ends when the other end closes."""
    await switch.connect(address)
    answering = asyncio.create_task(switch.answer())
    try:
        yield answering
    finally:
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        switch.writer.close()
