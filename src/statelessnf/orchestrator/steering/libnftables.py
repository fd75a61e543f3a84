"""libnftables: nftables of one namespace without a fork. A transaction takes about a millisecond; `nft` would take 25.

Interface names are looked up in the calling thread's namespace at each call, and remembered in the process as long as
the call lasts: calls are one at a time.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import threading

from statelessnf.errors import SteeringError
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.steering.where import entered, where_is

_one_at_a_time = threading.Lock()


class Nftables:
    """The nftables of a namespace; None: of the process's own. May be used from any thread."""

    def __init__(self, namespace: Namespace | None) -> None:
        self._library = _load()
        self._namespace = namespace
        with entered(namespace):
            self._context = self._library.nft_ctx_new(0)
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def apply(self, commands: str) -> None:
        """Carry out nftables commands as one transaction. Raises SteeringError with nftables' own words."""
        with _one_at_a_time, entered(self._namespace):
            refused = self._library.nft_run_cmd_from_buffer(self._context, commands.encode()) != 0
            message = self._library.nft_ctx_get_error_buffer(self._context).decode(errors="replace") if refused else ""
        if refused:
            words = message.splitlines()[0] if message else "unknown error"
            raise SteeringError(f"nftables refused the rules: {words}", where_is(self._namespace))

    def listed(self, table: str) -> str:
        """The rules of that table; "" if it is not there."""
        with _one_at_a_time, entered(self._namespace):
            found = self._library.nft_run_cmd_from_buffer(self._context, f"list table {table}".encode()) == 0
            text: bytes = self._library.nft_ctx_get_output_buffer(self._context)
            return text.decode(errors="replace") if found else ""

    def close(self) -> None:
        """Close the connection; the rules stay."""
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None


def _load() -> ctypes.CDLL:
    """libnftables with the prototypes of libnftables(3). Raises SteeringError where it is not installed."""
    name = ctypes.util.find_library("nftables")
    if name is None:
        raise SteeringError("nftables is missing", do="apt-get install nftables")
    library = ctypes.CDLL(name)
    library.nft_ctx_new.argtypes, library.nft_ctx_new.restype = [ctypes.c_uint32], ctypes.c_void_p
    library.nft_ctx_free.argtypes, library.nft_ctx_free.restype = [ctypes.c_void_p], None
    for function in (library.nft_ctx_buffer_output, library.nft_ctx_buffer_error):
        function.argtypes = [ctypes.c_void_p]
    library.nft_ctx_get_error_buffer.argtypes = [ctypes.c_void_p]
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_output_buffer.argtypes = [ctypes.c_void_p]
    library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library
