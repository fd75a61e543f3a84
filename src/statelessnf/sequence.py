"""Arithmetic modulo 2^32 for sequence numbers (RFC 9293 §3.4), the same in plain and in compiled functions.

Arguments: any integers (fields, NumPy scalars, results of the other functions); results: integers 0 .. 2^32-1, or
bool. Plain `-` and `<` on sequence numbers are wrong twice: they do not wrap where TCP does, and the difference of two
unsigned fields is negative in plain Python and wraps at 64 bits when compiled.
"""

_MASK = 0xFFFFFFFF
_HALF = 0x80000000


def add32(a: int, b: int) -> int:
    """(a + b) mod 2^32."""
    return ((int(a) & _MASK) + (int(b) & _MASK)) & _MASK


def sub32(a: int, b: int) -> int:
    """(a - b) mod 2^32: how far `a` lies behind `b` on the circle."""
    return ((int(a) & _MASK) + ((int(b) & _MASK) ^ _MASK) + 1) & _MASK


def elapsed32(now: int, since: int) -> int:
    """Milliseconds from `since` (32 bits of a `packet.now`, kept in a record) until `now`, modulo 2^32; 0 if `since` is
    later: another instance's clock may be a little ahead. Of two moments less than 24 days apart.
    """
    return 0 if seq_lt(now, since) else sub32(now, since)


def seq_lt(a: int, b: int) -> bool:
    """`a` comes before `b`: the sign of their 32-bit difference, as `before` in Linux (at a distance of 2^31: True)."""
    return sub32(a, b) >= _HALF


def seq_leq(a: int, b: int) -> bool:
    """`b` does not come before `a`."""
    return not seq_lt(b, a)


def seq_max(a: int, b: int) -> int:
    """The later of both."""
    return (int(b) if seq_lt(a, b) else int(a)) & _MASK


def seq_min(a: int, b: int) -> int:
    """The earlier of both."""
    return (int(a) if seq_lt(a, b) else int(b)) & _MASK
