"""How the lab's switch spreads packets over the instances: nftables netdev chains that forward each frame as it is.

Every packet that comes from the clients or from the server goes to one of the live instances; what an instance sends
goes on to the other side. A new spread replaces the old one in one transaction: no packet meets a half-made table.

Where a deployment has a MAC address of its own, what ARP and neighbour discovery send to that address is copied to all
live instances: an answer must reach the instance that asked (engine/neighbours.hpp).
"""

import ctypes
import ctypes.util
from collections.abc import Sequence
from typing import Literal

from statelessnf.errors import LabError
from statelessnf.lab.namespaces import Namespace

Spread = Literal["packet", "flow", "direction"]
TABLE = "netdev spread"


def ruleset(spread: Spread, instances: int, live: Sequence[int], mac: bytes | None = None) -> str:
    """The switch's whole table as nftables text; instances count from 0, `live` are those that get packets.

    `packet`: round robin, each packet by itself, each direction for itself. `flow`: by the client's TCP or UDP port,
    both directions alike; other packets round robin. `direction`: all that comes from the clients to the first live
    instance, all that comes from the server to the last. Links: `clients`, `server`, for instance i `in<i>`, `out<i>`.
    `mac`: see above.
    """
    outbound = _copies("in", live, mac) + _target(spread, "in", live[:1] if spread == "direction" else live, "sport")
    inbound = _copies("out", live, mac) + _target(spread, "out", live[-1:] if spread == "direction" else live, "dport")
    chains = [_chain("from_clients", ["clients"], outbound), _chain("from_server", ["server"], inbound)]
    chains.append(_chain("to_clients", [f"in{i}" for i in range(instances)], ['fwd to "clients"']))
    chains.append(_chain("to_server", [f"out{i}" for i in range(instances)], ['fwd to "server"']))
    return "\n".join([f"add table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{", *chains, "}"])


def _target(spread: Spread, link: str, live: Sequence[int], client_port: str) -> list[str]:
    if not live:
        return ["drop"]
    choices = ", ".join(f'{n}: "{link}{i}"' for n, i in enumerate(live))
    by_packet = f"fwd to numgen inc mod {len(live)} map {{ {choices} }}"
    by_flow = (
        f"meta l4proto {{ tcp, udp }} fwd to jhash th {client_port} mod {len(live)} seed 0x5eed map {{ {choices} }}"
    )
    return [by_flow, by_packet] if spread == "flow" else [by_packet]


def _copies(link: str, live: Sequence[int], mac: bytes | None) -> list[str]:
    """Rules that give each live instance its copy of what neighbours tell the deployment."""
    if mac is None or not live:
        return []
    *others, last = (f'"{link}{i}"' for i in live)
    statements = " ".join([*(f"dup to {other}" for other in others), f"fwd to {last}"])
    told = ("ether type arp", "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }")
    return [f"ether daddr {mac.hex(':')} {match} {statements}" for match in told]


def _chain(name: str, devices: Sequence[str], rules: Sequence[str]) -> str:
    listed = ", ".join(f'"{device}"' for device in devices)
    hook = f"type filter hook ingress devices = {{ {listed} }} priority 0;"
    return "\n".join([f"chain {name} {{", hook, *rules, "}"])


class Nftables:
    """The nftables of one namespace, through libnftables: one transaction takes about a millisecond, no fork."""

    def __init__(self, namespace: Namespace) -> None:
        self._library = _load()
        self._namespace = namespace
        with namespace.entered():
            self._context = self._library.nft_ctx_new(0)
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def apply(self, commands: str) -> None:
        """Carry out nftables commands as one transaction. Raises LabError with nftables' own words."""
        with self._namespace.entered():  # interface names are looked up in the thread's namespace at each call
            refused = self._library.nft_run_cmd_from_buffer(self._context, commands.encode()) != 0
        if refused:
            message = self._library.nft_ctx_get_error_buffer(self._context).decode()
            raise LabError(f"nftables refused the rules: {message.splitlines()[0] if message else 'unknown error'}")

    def close(self) -> None:
        """Close the connection; the rules stay."""
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None


def _load() -> ctypes.CDLL:
    """libnftables with the prototypes of libnftables(3). Raises LabError where it is not installed."""
    name = ctypes.util.find_library("nftables")
    if name is None:
        raise LabError("nftables is missing", do="apt-get install nftables")
    library = ctypes.CDLL(name)
    library.nft_ctx_new.argtypes, library.nft_ctx_new.restype = [ctypes.c_uint32], ctypes.c_void_p
    library.nft_ctx_free.argtypes, library.nft_ctx_free.restype = [ctypes.c_void_p], None
    for function in (library.nft_ctx_buffer_output, library.nft_ctx_buffer_error):
        function.argtypes = [ctypes.c_void_p]
    library.nft_ctx_get_error_buffer.argtypes = [ctypes.c_void_p]
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library
