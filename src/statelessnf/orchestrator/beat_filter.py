"""A program in the kernel that keeps heartbeats away from the orchestrator, and notes when each pipe was heard.

Receiving a datagram costs a process 1 to 3 us, and 100 instances send 20,000 a second, most of which say nothing but
that the pipe lives and what it counts. So the listener's sockets get a BPF filter: of a pipe that is known by the first
32 bytes of its beats it writes the time and the counts into tables that both share, and lets through only what comes
after a silence. All else passes, beats with an older sequence number too: what it does not know it never drops. Its
instructions are in beat_program.py.

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

from statelessnf.orchestrator.beat_program import COUNTS, HEADER, LIMIT, USED, WATCH, program_of

_SYSCALL: Final = {"x86_64": 321, "aarch64": 280}  # bpf(2)
_MAP_CREATE, _MAP_UPDATE, _MAP_DELETE, _PROG_LOAD = 0, 2, 3, 5
_HASH, _ARRAY, _MMAPABLE, _SOCKET_FILTER, _SO_ATTACH_BPF = 1, 2, 1 << 10, 1, 50

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
            watch, self._watch = self._shared(1, WATCH)
            self._program = self._load(program_of(self._headers, times, counts, watch, silence_ns))
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
        self._watch[USED] = slots
        self._watch[LIMIT] = limit_ns

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
