"""The engine, as Python sees it. Options are dictionaries, checked key by key; `statelessnf.pipe_options` makes them.

PipeOptions (unknown keys raise ValueError):
    program: str                    shared object made by statelessnf.builder
    record_size: not given: read from the program
    tables: list[tuple[bytes, int]] each table's bytes and its number of rows, in the order of `table_types`
    rules: bytes | None             rows for the classifier behind `tables.services` (engine/acl.hpp)
    acl: bool                       look rules up by rte_acl (needs a started EAL) and not linearly
    mode: "baseline" | "off" | "tracked"
    deployment: int, secret: int    for flow keys, 32 and 64 bits
    store: dict | None              address, user, password, stale_ms; None: baseline
    traits: dict                    rewrites timed counter (two offsets, or None) remote (endpoint address nothing)
    neighbours: dict | None         who is on the links, for a function that rewrites; None: frames leave as addressed
        mac: bytes                  of the deployment, 6 bytes
        inside, outside: dict       owned on_link gateways (ranges of addresses: rows of statelessnf.owned), vlan
    link: bool                      sans-I/O: the store's bytes go through link_output/link_input and no socket
    limits: dict                    packets flows flights queue conflicts new_flows_per_s guard_ms stale_ms linger_ms
    events: int, captured: int      how many events and dropped frames are kept until they are taken
    frames: int, frame_size: int    slots of the memory port (Pipe only)
"""

from collections.abc import Mapping, Sequence
from typing import Any

GENERATED: int  # token of packets that the engine made itself

class Pipe:
    """One pipe on a memory port, driven step by step: for replay, tests and simulation."""

    def __init__(self, options: Mapping[str, Any]) -> None: ...
    def inject(self, frame: bytes, side: int, token: int) -> bool: ...
    def set_clock(self, ms: int) -> None: ...
    def step(self, now_us: int | None = None) -> int:
        """One step at `now_us` (monotonic; None: now). Returns how many packets were received."""
    def collect(self) -> list[tuple[int, int, bytes]]:
        """(token, side on which it left, frame) of what was transmitted since the last call."""
    def dropped(self) -> list[tuple[int, str, int, bytes]]:
        """(token, reason, index of the function's own reason or -1, frame); only what `captured` had room for."""
    def events(self) -> list[tuple[bytes, int, int, bytes]]:
        """(packet record of 120 bytes, code, value, the flow's record); the last only of functions that rewrite."""
    def stats(self) -> dict[str, Any]: ...
    def idle(self) -> bool: ...
    def waiting(self) -> int:
        """Frames injected and not yet received."""
    def swap_tables(
        self,
        tables: Sequence[tuple[bytes, int]],
        rules: bytes | None,
        owned: Sequence[tuple[int, int, int, int]] | None = None,
    ) -> None:
        """`owned`: outside, from now on (rows of statelessnf.owned); None: as before."""
    def admit(self, new_flows: bool) -> None: ...
    def abandon(self) -> None: ...
    def available(self) -> bool: ...
    def last_error(self) -> str: ...
    # Sans-I/O link to a simulated store (option `link`).
    def link_connected(self, now_us: int) -> None: ...
    def link_lost(self, now_us: int) -> None: ...
    def link_output(self) -> bytes: ...
    def link_input(self, data: bytes) -> None:
        """Bytes from the store; they are handed over in the next step."""

class Link:
    """The two DPDK devices of an instance, with a queue each for every pipe, and the memory for their packets.

    Starts DPDK's environment where nobody did; other Python threads run on meanwhile. Raises RuntimeError with what
    failed and what to do.
    """

    def __init__(self, inside: str, outside: str, pipes: int = 1) -> None: ...

class Instance:
    """Pipes on a link, each with its own threads, store connection and cache.

    Options beside those of a pipe: threads: 1 | 2 for each pipe. beats: dict | None, docs/heartbeats.md: targets
    (list[tuple[str, int]], 1 to 8 numeric addresses with UDP ports), token (16 bytes), interval_ms (1 to 10,000).
    Raises RuntimeError with what failed and what to do.
    """

    def __init__(self, options: Mapping[str, Any], link: Link) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def stats(self) -> dict[str, Any]: ...
    def events(self) -> list[tuple[bytes, int, int, bytes]]: ...
    def dropped(self) -> list[tuple[int, str, int, bytes]]: ...
    def swap_tables(
        self,
        tables: Sequence[tuple[bytes, int]],
        rules: bytes | None,
        owned: Sequence[tuple[int, int, int, int]] | None = None,
    ) -> None:
        """`owned`: outside, from now on (rows of statelessnf.owned); None: as before."""
    def admit(self, new_flows: bool) -> None: ...
    def link_up(self) -> bool: ...
    def available(self) -> bool: ...

class Traffic:
    """A pipe that eats packets made on the fly; one side of a comparison (options: those of a pipe)."""

    @staticmethod
    def flows(
        options: Mapping[str, Any],
        packets: int,
        open_flows: int,
        frame_bytes: int,
        seed: int = 1,
        service: tuple[int, int, int] | None = None,
    ) -> Traffic:
        """TCP flows of `packets` packets in the mean (1: the SYN; or at least 7), `open_flows` at a time; frames of 64
        to 1518 bytes with their FCS. `service`: for a function that rewrites, so that servers answer to what has left:
        (side of the clients, IPv4 address and port that they all ask; 0: many addresses, port 443 or 80). Raises
        ValueError.
        """
    @staticmethod
    def capture(
        options: Mapping[str, Any],
        frames: list[tuple[int, bytes, int]],
        open_flows: int,
        seed: int = 1,
        mirrored: bool = False,
    ) -> Traffic:
        """The flows of a capture, (side, frame, flow number) in its order, over and over with new client addresses.

        `mirrored`: for a function that rewrites what comes from inside; answers are to what has left.
        """
    def run(self, seconds: float, reference: bool = False) -> tuple[int, int, int]:
        """Run for about `seconds`: (packets forwarded, dropped, ns). reference: without records."""
    def stats(self) -> dict[str, Any]: ...
    def connect(self) -> bool:
        """Let the pipe talk to its store, without packets; True when it answers."""

class RoundTrips:
    """TCP flows (as Traffic.flows makes them), sent through another process between two DPDK ports and taken back.

    A flow's next packet is made when its previous one is back; one that stays away for 50 ms is sent again. Only what
    is inside (`inside` faces the other process's inside) or outside says which way a packet goes. Raises RuntimeError
    where a port cannot be opened; `start_eal` comes first.
    """

    def __init__(
        self,
        inside: str,
        outside: str,
        packets: int,
        open_flows: int,
        frame_bytes: int,
        seed: int = 1,
        service: tuple[int, int, int] | None = None,
    ) -> None: ...
    def saturate(self, seconds: float, window: int) -> tuple[int, int]:
        """As fast as they come back, `window` on their way: (packets that came back, ns). Ends with none out."""
    def pace(self, seconds: float, rate: float) -> bytes:
        """`rate` packets a second: of each the ns until it came back, uint32; packets sent twice are left out."""
    def counts(self) -> dict[str, int]:
        """Since the start: made, returned, resent, given_up, strays, late (times to send that were missed), flows."""
    def link_up(self) -> bool: ...

class Forwarder:
    """Sends every frame out of the other side, unread, until it is deleted. Raises RuntimeError."""

    def __init__(self, inside: str, outside: str) -> None: ...
    def forwarded(self) -> int: ...

def describe(frame: bytes, deployment: int, secret: int) -> tuple[str, bytes, bytes]:
    """("flow" | "pass" | drop reason, key, packet record). For a fragment the key is its datagram's."""

def drop_reasons() -> list[tuple[str, str]]:
    """(name, meaning) of every reason of the engine's own."""

def start_eal(memory_mb: int = 512) -> None:
    """Start DPDK's environment, once a process (later calls do nothing). Needed for `acl` and ports."""
