"""A program in the kernel that keeps heartbeats away from the orchestrator, and notes when each pipe was heard.

Receiving a datagram costs a process 1 to 3 us, and 100 instances send 20,000 a second, most of which say nothing but
that the pipe lives and what it counts. So the listener's sockets get a BPF filter: of a pipe that is known by the first
32 bytes of its beats it writes the time and the counts into tables that both share, and lets through only what comes
after a silence. All else passes, beats with an older sequence number too: what it does not know it never drops.

Each number is written at once, but not all of a beat together: whoever reads while a beat comes may have some numbers
of that beat and some of the one before. Times have a table of their own, since they are read much more often: what
another processor has written is slow to read, and eight of them are in a cache line.

It can watch for silence, too, while all pipes are well: each beat looks at the times of some pipes, in turn, and passes
if it finds a pipe silent for too long. So nobody need wake up to look. Each pipe is looked at CHECKED times within the
time between two beats of one pipe. Without any beat nothing is found.

It needs Linux 5.8 and CAP_BPF; without them `BeatFilter` raises OSError, and the listener does without.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import socket
from struct import pack
from typing import Any, Final

import numpy as np

HEADER: Final = 32  # bytes of a beat that are the same in each one of a pipe, until something is new
_UDP_HEADER, _BEAT = 8, 128
CHECKED: Final = 8  # pipes that each beat looks at
COUNTS: Final = 12  # numbers of 64 bits that follow the header in a beat, from its sequence number on
_SYSCALL: Final = {"x86_64": 321, "aarch64": 280}  # bpf(2)
_MAP_CREATE, _MAP_UPDATE, _MAP_DELETE, _PROG_LOAD = 0, 2, 3, 5
_HASH, _ARRAY, _MMAPABLE, _SOCKET_FILTER, _SO_ATTACH_BPF = 1, 2, 1 << 10, 1, 50
_LOOKUP, _KTIME, _LOAD_BYTES = 1, 5, 26  # helper functions
_KEY, _SLOT, _NUMBERS = -32, -40, -40 - 8 * COUNTS  # on the stack
_LIMIT, _USED, _NEXT, _WATCH = (
    0,
    8,
    16,
    3,
)  # of the watch: ns (0: none), slots that are looked at, the next one; numbers

_libc = ctypes.CDLL(None, use_errno=True)


class BeatFilter:
    """`times`: when each slot was heard last, ns (monotonic). `counts`: COUNTS numbers of its newest beat."""

    def __init__(self, slots: int, silence_ns: int) -> None:
        """Raises OSError."""
        self._open: list[int] = []
        try:
            self._headers = self._made(_MAP_CREATE, pack("<5I", _HASH, HEADER, 4, slots, 0))
            times, self.times = self._shared(slots, 1)
            counts, rows = self._shared(slots, COUNTS)
            self.counts = rows.reshape(slots, COUNTS)
            watch, self._watch = self._shared(1, _WATCH)
            self._program = self._load(_program(self._headers, times, counts, watch, silence_ns))
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

    def guard(self, limit_ns: int, slots: int) -> None:
        """Beats pass, too, that find one of the first `slots` heard last so long ago; 0: no more."""
        self._watch[_USED // 8] = slots
        self._watch[_LIMIT // 8] = limit_ns

    def close(self) -> None:
        """The memory of `times` and `counts` goes with its last user."""
        while self._open:
            os.close(self._open.pop())

    def _shared(self, slots: int, each: int) -> tuple[int, np.ndarray[Any, np.dtype[np.uint64]]]:
        """A map with so many numbers in each slot, and its memory."""
        made = self._made(_MAP_CREATE, pack("<5I", _ARRAY, 4, 8 * each, slots, _MMAPABLE))
        return made, np.frombuffer(mmap.mmap(made, 8 * each * slots), np.uint64)

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


_Code = tuple[int | str, ...]


def _code(operation: int | str, to: int = 0, source: int = 0, offset: int | str = 0, value: int = 0) -> _Code:
    """One instruction; a name in place of an operation is that of the place where it stands."""
    return (operation, to | source << 4, offset, value)


def _looked_up(descriptor: int, key: int) -> list[_Code]:
    """r0 = address of what the map has under the key on the stack; passes if it has nothing."""
    return [
        _code(0x18, 1, 1, 0, descriptor),
        _code(0),
        _code(0xBF, 2, 10),
        _code(0x07, 2, 0, 0, key),
        _code(0x85, 0, 0, 0, _LOOKUP),
        _code(0x15, 0, 0, "pass"),
    ]


def _loaded(offset: int, to: int, size: int) -> list[_Code]:
    """Bytes of the packet, from r6, are copied to the stack; passes if it has none there."""
    return [
        _code(0xBF, 1, 6),
        _code(0xB7, 2, 0, 0, offset),
        _code(0xBF, 3, 10),
        _code(0x07, 3, 0, 0, to),
        _code(0xB7, 4, 0, 0, size),
        _code(0x85, 0, 0, 0, _LOAD_BYTES),
        _code(0x55, 0, 0, "pass"),
    ]


def _copied(count: int) -> list[_Code]:
    """One number after the other from the stack to r9."""
    offsets = range(0, 8 * count, 8)
    each = ((_code(0x79, 1, 10, _NUMBERS + offset), _code(0x7B, 9, 1, offset)) for offset in offsets)
    return [code for both in each for code in both]


def _guarded(times: int, watch: int) -> list[_Code]:
    """Passes if one of the next CHECKED slots has been silent for the limit, see `guard`. r0 = now."""
    return [
        _code(0xBF, 7, 0),  # r7 = now
        _code(0x62, 10, 0, _SLOT, 0),
        *_looked_up(watch, _SLOT),
        _code(0xBF, 9, 0),  # r9 = the watch
        _code(0x79, 1, 9, _LIMIT),
        _code(0x15, 1, 0, "drop"),
        _code(0x1F, 7, 1),  # r7 = who was heard last at that time or before is silent
        _code(0x79, 8, 9, _NEXT),  # r8 = the slot
        *[code for number in range(CHECKED) for code in _checked(times, f"checked {number}")],
        _code(0x7B, 9, 8, _NEXT),
        _code(0x05, 0, 0, "drop"),
    ]


def _checked(times: int, done: str) -> list[_Code]:
    """Is r8 silent since r7 or longer? Slots that are nobody's have no time. r8 = the one after it."""
    return [
        _code(0x79, 1, 9, _USED),
        _code(0x2D, 1, 8, 1),  # beyond the last one: the first
        _code(0xB7, 8),
        _code(0x63, 10, 8, _SLOT),
        _code(0x07, 8, 0, 0, 1),
        *_looked_up(times, _SLOT),
        _code(0x79, 1, 0),
        _code(0x15, 1, 0, done),
        _code(0xBD, 1, 7, "pass"),
        _code(done),
    ]


def _program(headers: int, times: int, counts: int, watch: int, silence_ns: int) -> bytes:
    """Instructions, see linux/bpf.h."""
    listing = [
        _code(0xBF, 6, 1),  # r6 = the packet, from its UDP header on
        _code(0x61, 2, 6),
        _code(0x55, 2, 0, "pass", _UDP_HEADER + _BEAT),  # of another length
        *_loaded(_UDP_HEADER, _KEY, HEADER),
        *_looked_up(headers, _KEY),  # not watched: passes
        _code(0x61, 1, 0),
        _code(0x63, 10, 1, _SLOT),
        *_looked_up(times, _SLOT),
        _code(0xBF, 7, 0),  # r7 = its time
        *_looked_up(counts, _SLOT),
        _code(0xBF, 9, 0),  # r9 = its counts
        *_loaded(_UDP_HEADER + HEADER, _NUMBERS, 8 * COUNTS),
        _code(0x79, 1, 10, _NUMBERS),
        _code(0x79, 2, 9),
        _code(0xAD, 1, 2, "pass"),  # older than what was heard
        *_copied(COUNTS),
        _code(0x85, 0, 0, 0, _KTIME),
        _code(0x79, 8, 7),  # r8 = when it was heard before
        _code(0x07, 8, 0, 0, silence_ns),
        _code(0x7B, 7, 0),  # heard now
        _code(0x2D, 0, 8, "pass"),  # it was silent
        *_guarded(times, watch),
        _code("drop"),
        _code(0xB7, 0),
        _code(0x95),
        _code("pass"),
        _code(0xB7, 0, 0, 0, 0xFFFF),
        _code(0x95),
    ]
    return _assembled(listing)


def _assembled(listing: list[_Code]) -> bytes:
    """Instructions without the names of places, and how far they jump in place of them."""
    places: dict[int | str, int] = {}
    code: list[_Code] = []
    for line in listing:
        if isinstance(line[0], str):
            places[line[0]] = len(code)
        else:
            code.append(line)
    lines = enumerate(code)
    return b"".join(
        pack("<BBhi", op, registers, places[to] - at - 1 if isinstance(to, str) else to, value)
        for at, (op, registers, to, value) in lines
    )
