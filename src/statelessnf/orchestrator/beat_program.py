"""The instructions of the kernel's program that takes in heartbeats; what it does and why: beat_filter.py.

Written as in linux/bpf.h, so that no compiler is needed. The kernel's verifier holds it to what it may touch.
"""

from __future__ import annotations

from struct import pack
from typing import Final

HEADER: Final = 32  # bytes of a beat that are the same in each one of a pipe, until something is new
COUNTS: Final = 12  # numbers of 64 bits that follow the header in a beat, from its sequence number on
CHECKED: Final = 8  # pipes that each beat looks at
LIMIT, USED, NEXT, WATCH = range(4)  # of the watch: ns (0: none), slots that are looked at, the next one; how many
_UDP_HEADER, _BEAT = 8, 128
_LOOKUP, _KTIME, _LOAD_BYTES = 1, 5, 26  # helper functions
_KEY, _SLOT, _NUMBERS = -32, -40, -40 - 8 * COUNTS  # on the stack

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
        _code(0x79, 1, 9, 8 * LIMIT),
        _code(0x15, 1, 0, "drop"),
        _code(0x1F, 7, 1),  # r7 = who was heard last at that time or before is silent
        _code(0x79, 8, 9, 8 * NEXT),  # r8 = the slot
        *[code for number in range(CHECKED) for code in _checked(times, f"checked {number}")],
        _code(0x7B, 9, 8, 8 * NEXT),
        _code(0x05, 0, 0, "drop"),
    ]


def _checked(times: int, done: str) -> list[_Code]:
    """Is r8 silent since r7 or longer? Slots that are nobody's have no time. r8 = the one after it."""
    return [
        _code(0x79, 1, 9, 8 * USED),
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


def program_of(headers: int, times: int, counts: int, watch: int, silence_ns: int) -> bytes:
    """For tables with these descriptors. A beat that comes `silence_ns` after the one before passes."""
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
