"""A program in the kernel that keeps heartbeats away from the orchestrator, and notes when each pipe was heard.

Receiving a datagram costs a process 1 to 3 us, and 100 instances send 20,000 a second, most of which say nothing but
that the pipe lives. So the listener's sockets get a BPF filter: of a pipe that is known by the first 32 bytes of its
beats it writes the time into a table that both share, and lets through what comes after a silence, and one beat in each
period. Periods begin at the same time for all pipes, so that one wake-up serves many. Everything else passes: what it
does not know it never drops.

It needs Linux 5.8 and CAP_BPF; without them `BeatFilter` raises OSError, and the listener does without.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import socket
from struct import pack
from typing import Final

import numpy as np

HEADER: Final = 32  # bytes of a beat that are the same in each one of a pipe, until something is new
_UDP_HEADER, _BEAT = 8, 128
_SYSCALL: Final = {"x86_64": 321, "aarch64": 280}  # bpf(2)
_MAP_CREATE, _MAP_UPDATE, _MAP_DELETE, _PROG_LOAD = 0, 2, 3, 5
_HASH, _ARRAY, _MMAPABLE, _SOCKET_FILTER, _SO_ATTACH_BPF = 1, 2, 1 << 10, 1, 50
_LOOKUP, _KTIME, _LOAD_BYTES = 1, 5, 26  # helper functions
_KEY, _SLOT = -32, -40  # on the stack

_libc = ctypes.CDLL(None, use_errno=True)


class BeatFilter:
    """`table` has two numbers for each slot: ns (monotonic) when it was heard, and when the next period begins."""

    def __init__(self, slots: int, period_ns: int, silence_ns: int) -> None:
        """Raises OSError."""
        self._open: list[int] = []
        try:
            self._headers = self._made(_MAP_CREATE, pack("<5I", _HASH, HEADER, 4, slots, 0))
            times = self._made(_MAP_CREATE, pack("<5I", _ARRAY, 4, 16, slots, _MMAPABLE))
            self._program = self._load(_program(self._headers, times, period_ns, silence_ns))
            self.table = np.frombuffer(mmap.mmap(times, slots * 16), np.uint64).reshape(slots, 2)
        except BaseException:
            self.close()
            raise

    def attach(self, target: socket.socket) -> None:
        """Filters that UDP socket from now on. Raises OSError."""
        target.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_BPF, self._program)

    def watch(self, header: bytes, slot: int) -> None:
        """Beats that begin so are `slot`'s from now on. Raises OSError: no room."""
        key, value = ctypes.create_string_buffer(header, HEADER), ctypes.c_uint32(slot)
        _bpf(_MAP_UPDATE, pack("<I4xQQQ", self._headers, ctypes.addressof(key), ctypes.addressof(value), 0))

    def ignore(self, header: bytes) -> None:
        """They pass again. Raises OSError: they were not watched."""
        key = ctypes.create_string_buffer(header, HEADER)
        _bpf(_MAP_DELETE, pack("<I4xQQQ", self._headers, ctypes.addressof(key), 0, 0))

    def close(self) -> None:
        """The memory of `table` goes with its last user."""
        while self._open:
            os.close(self._open.pop())

    def _load(self, program: bytes) -> int:
        code, licence = ctypes.create_string_buffer(program, len(program)), ctypes.create_string_buffer(b"Proprietary")
        where = (ctypes.addressof(code), ctypes.addressof(licence))
        return self._made(_PROG_LOAD, pack("<IIQQ", _SOCKET_FILTER, len(program) // 8, *where))

    def _made(self, command: int, attributes: bytes) -> int:
        self._open.append(_bpf(command, attributes))
        return self._open[-1]


def _bpf(command: int, attributes: bytes) -> int:
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(f"bpf(2) is not known on {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes, 144)
    result = int(_libc.syscall(number, command, buffer, 144))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "bpf")
    return result


def _program(headers: int, times: int, period_ns: int, silence_ns: int) -> bytes:
    """Instructions, see linux/bpf.h; jumps to `pass` and `drop` are put in when their places are known."""

    def code(
        operation: int, to: int = 0, source: int = 0, offset: int | str = 0, value: int = 0
    ) -> tuple[int | str, ...]:
        return (operation, to | source << 4, offset, value)

    def map_address(to: int, descriptor: int) -> list[tuple[int | str, ...]]:
        return [code(0x18, to, 1, 0, descriptor), code(0)]

    listing = [
        code(0xBF, 6, 1),  # r6 = the packet, from its UDP header on
        code(0x61, 2, 6),
        code(0x55, 2, 0, "pass", _UDP_HEADER + _BEAT),  # of another length
        code(0xBF, 1, 6),
        code(0xB7, 2, 0, 0, _UDP_HEADER),
        code(0xBF, 3, 10),
        code(0x07, 3, 0, 0, _KEY),
        code(0xB7, 4, 0, 0, HEADER),
        code(0x85, 0, 0, 0, _LOAD_BYTES),
        code(0x55, 0, 0, "pass"),
        *map_address(1, headers),
        code(0xBF, 2, 10),
        code(0x07, 2, 0, 0, _KEY),
        code(0x85, 0, 0, 0, _LOOKUP),
        code(0x15, 0, 0, "pass"),  # not watched
        code(0x61, 1, 0),
        code(0x63, 10, 1, _SLOT),
        *map_address(1, times),
        code(0xBF, 2, 10),
        code(0x07, 2, 0, 0, _SLOT),
        code(0x85, 0, 0, 0, _LOOKUP),
        code(0x15, 0, 0, "pass"),
        code(0xBF, 7, 0),  # r7 = its row
        code(0x85, 0, 0, 0, _KTIME),
        code(0x79, 8, 7),  # r8 = when it was heard before
        code(0x07, 8, 0, 0, silence_ns),
        code(0x7B, 7, 0),  # heard now
        code(0x2D, 0, 8, 2),  # after a silence: passes, and the period begins anew
        code(0x79, 1, 7, 8),
        code(0x2D, 1, 0, "drop"),  # one has passed in this period
        code(0xB7, 2, 0, 0, period_ns),
        code(0xBF, 1, 0),
        code(0x3F, 1, 2),
        code(0x07, 1, 0, 0, 1),
        code(0x2F, 1, 2),
        code(0x7B, 7, 1, 8),  # the next one passes when the next period begins
        code(0xB7, 0, 0, 0, 0xFFFF),
        code(0x95),
        code(0xB7, 0),
        code(0x95),
    ]
    places = {"pass": len(listing) - 4, "drop": len(listing) - 2}
    lines = enumerate(listing)
    return b"".join(
        pack("<BBhi", op, registers, places[to] - at - 1 if isinstance(to, str) else to, value)
        for at, (op, registers, to, value) in lines
    )
