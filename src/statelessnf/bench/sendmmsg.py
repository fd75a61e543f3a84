"""Many datagrams or frames of one length in one system call: sendmmsg(2), by ctypes. Standard library only."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from collections.abc import Sequence


class _Part(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("parts", ctypes.POINTER(_Part)),
        ("part_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (("header", _Header), ("sent", ctypes.c_uint))


class Messages:
    """`count` messages of `length` bytes each, which lie one behind the other from the address `base` on.

    `names`: socket addresses as the kernel has them (`ipv4_name`); the messages take them in turn. Without any, they go
    where the socket is connected or bound to. The memory at `base` has to live as long.
    """

    def __init__(self, base: int, length: int, count: int, names: Sequence[bytes] = ()) -> None:
        self._send = ctypes.CDLL(None, use_errno=True).sendmmsg
        self._parts = (_Part * count)(*(_Part(base + number * length, length) for number in range(count)))
        self._names = [ctypes.create_string_buffer(name, len(name)) for name in names]
        self._messages = (_Message * count)()
        for number, message in enumerate(self._messages):
            message.header.parts, message.header.part_count = ctypes.pointer(self._parts[number]), 1
            if self._names:
                name = self._names[number % len(self._names)]
                message.header.name, message.header.name_length = ctypes.addressof(name), len(name)

    def send(self, socket_: socket.socket, first: int, count: int) -> int:
        """Those from `first` on. Returns how many the kernel took; 0 where it has no room. Raises OSError."""
        start = ctypes.byref(self._messages, first * ctypes.sizeof(_Message))
        sent: int = self._send(socket_.fileno(), start, count, 0)
        if sent < 0 and (error := ctypes.get_errno()) not in (errno.ENOBUFS, errno.EAGAIN):
            raise OSError(error, os.strerror(error))
        return max(sent, 0)


def ipv4_name(address: str, port: int) -> bytes:
    """struct sockaddr_in."""
    return socket.AF_INET.to_bytes(2, sys.byteorder) + port.to_bytes(2, "big") + socket.inet_aton(address) + bytes(8)
