"""The options of the simulated store's writing commands, read as Valkey 9.1.2 reads them. Each raises StoreFault."""

from __future__ import annotations

from statelessnf.store.simulated_link import Command, StoreFault

SYNTAX = "ERR syntax error"


def set_options(words: Command) -> tuple[bool, bytes | None, bool, int | None]:
    """(NX, value of IFEQ, GET, value of PXAT) of a SET."""
    absent, old, get, deadline = False, None, False, None
    rest = iter(words)
    for word in rest:
        match word.upper():
            case b"NX" if old is None:
                absent = True
            case b"IFEQ" if not absent:
                old = next(rest, None)
            case b"GET":
                get = True
            case b"PXAT":
                deadline = _deadline(next(rest, b""), "set")
            case _:
                raise StoreFault(SYNTAX)
    return absent, old, get, deadline


def msetex_options(words: Command) -> tuple[list[tuple[bytes, bytes]], bool, int | None]:
    """(keys and values, NX, value of PXAT) of an MSETEX, from its number of keys on."""
    if not words[0].isdigit() or int(words[0]) < 1:
        raise StoreFault("ERR invalid numkeys value or out of range")
    end = 1 + 2 * int(words[0])
    if len(words) < end:
        raise StoreFault(SYNTAX)
    absent, deadlines, rest = False, [], words[end:]
    while rest:
        match rest[0].upper():
            case b"NX":
                absent, rest = True, rest[1:]
            case b"PXAT" if len(rest) > 1:
                deadlines, rest = [rest[1]], rest[2:]
            case _:
                raise StoreFault(SYNTAX)
    pairs = list(zip(words[1:end:2], words[2:end:2], strict=True))
    return pairs, absent, _deadline(deadlines[0], "msetex") if deadlines else None


def _deadline(word: bytes, command: str) -> int:
    if not word.removeprefix(b"-").isdigit():
        raise StoreFault("ERR value is not an integer or out of range")
    if int(word) <= 0:
        raise StoreFault(f"ERR invalid expire time in '{command}' command")
    return int(word)
